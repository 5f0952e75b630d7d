import { closeSync, type Stats } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { foldChecksum, pageChecksum } from '../ltx/format/checksum.ts'
import { type Checksum, EMPTY_CHECKSUM, lockPgno } from '../ltx/format/types.ts'
import { BY_UMASK } from '../util/directories.ts'
import { LtxdError } from '../util/errors.ts'
import { makeNamedDirectory } from '../util/named-directory.ts'
import { assertRegular, NewFile, OutputError, OutputExistsError } from '../util/new-file.ts'

/**
 * A database file that is written under a temporary name, and renamed when it is complete and durable. Each method
 * throws OutputError when the file cannot be written.
 */
export class OutputFile {
  readonly path: string
  readonly #file: NewFile

  private constructor(file: NewFile) {
    this.path = file.path
    this.#file = file
  }

  /** Makes missing parent directories. Throws OutputExistsError, OutputError. */
  static async create(path: string, label = 'restore'): Promise<OutputFile> {
    await assertRegular(path)
    await assertFree(path)
    try {
      closeSync(makeNamedDirectory(dirname(path), BY_UMASK))
    } catch (error) {
      throw error instanceof LtxdError ? error : new OutputError(path, error)
    }
    return new OutputFile(await NewFile.create(path, { label }))
  }

  get fd(): number {
    return this.#file.handle.fd
  }

  stat(): Promise<Stats> {
    return this.#reporting(() => this.#file.handle.stat())
  }

  truncate(sizeBytes: number): Promise<void> {
    return this.#reporting(() => this.#file.handle.truncate(sizeBytes))
  }

  write(bytes: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }> {
    return this.#reporting(() => this.#file.handle.write(bytes, offset, length, position))
  }

  /** Reads the file back: the checksum of a database of `commit` pages. */
  async checksum(pageSize: number, commit: number): Promise<Checksum> {
    const pagesAtOnce = Math.max(1, Math.floor((1 << 20) / pageSize))
    const buffer = Buffer.allocUnsafeSlow(pagesAtOnce * pageSize)
    let checksum: Checksum = EMPTY_CHECKSUM
    for (let first = 1; first <= commit; first += pagesAtOnce) {
      const count = Math.min(pagesAtOnce, commit - first + 1)
      await this.#reporting(() => this.#file.handle.read(buffer, 0, count * pageSize, (first - 1) * pageSize))
      for (let i = 0; i < count; i++) {
        if (first + i === lockPgno(pageSize)) continue
        checksum = foldChecksum(checksum, pageChecksum(first + i, buffer.subarray(i * pageSize, (i + 1) * pageSize)))
      }
    }
    return checksum
  }

  /** The file is durable and visible on return. Throws OutputExistsError when another file was created meanwhile. */
  async publish(): Promise<void> {
    await assertFree(this.path)
    await this.#reporting(() => this.#file.publish())
  }

  /** Closes the file, and removes it unless it was published. */
  discard(): Promise<void> {
    return this.#file.discard()
  }

  async #reporting<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act()
    } catch (error) {
      throw error instanceof LtxdError ? error : new OutputError(this.path, error)
    }
  }
}

async function assertFree(path: string): Promise<void> {
  for (const suffix of ['', '-wal', '-journal', '-shm']) {
    if (await exists(path + suffix)) throw new OutputExistsError(path, suffix === '' ? undefined : path + suffix)
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch {
    return false
  }
}
