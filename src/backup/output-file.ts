import { randomBytes } from 'node:crypto'
import { access, link, open, rename, unlink, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { foldChecksum, pageChecksum } from '../ltx/checksum.ts'
import { EMPTY_CHECKSUM, lockPgno, type Checksum } from '../ltx/types.ts'
import { makeDirectories, syncDirectory } from '../objectstore/directories.ts'
import { errorCode, errorMessage, LtxdError } from '../util/errors.ts'

/** Where a restored database was to go, something is already. */
export class OutputExistsError extends LtxdError {
  constructor(path: string, beside: string | undefined) {
    const found =
      beside === undefined
        ? `${path} exists already`
        : `${beside} exists, which SQLite would take for a part of ${path}`
    super('OUTPUT_EXISTS', `${found}. Nothing is ever overwritten: move it away, or choose another output`)
  }
}

/** The place of the output cannot be written. */
export class OutputError extends LtxdError {
  constructor(path: string, cause: unknown) {
    super('OUTPUT_UNWRITABLE', `cannot write ${path}: ${errorMessage(cause)}`, 1, { cause })
  }
}

/** A database file that is written beside its place and appears there when it is complete and durable. */
export class OutputFile {
  readonly path: string
  readonly handle: FileHandle
  readonly #temporary: string

  private constructor(path: string, temporary: string, handle: FileHandle) {
    this.path = path
    this.#temporary = temporary
    this.handle = handle
  }

  /** Makes missing parent directories. Throws OutputExistsError. */
  static async create(path: string): Promise<OutputFile> {
    await assertFree(path)
    const temporary = `${path}.ltxd-restore-${randomBytes(4).toString('hex')}`
    try {
      await makeDirectories(dirname(path))
      return new OutputFile(path, temporary, await open(temporary, 'wx+', 0o644))
    } catch (error) {
      throw new OutputError(path, error)
    }
  }

  truncate(sizeBytes: number): Promise<void> {
    return this.handle.truncate(sizeBytes)
  }

  /** Of a database of so many pages, read back. */
  async checksum(pageSize: number, commit: number): Promise<Checksum> {
    const pagesAtOnce = Math.max(1, Math.floor((1 << 20) / pageSize))
    const buffer = Buffer.allocUnsafeSlow(pagesAtOnce * pageSize)
    let checksum: Checksum = EMPTY_CHECKSUM
    for (let first = 1; first <= commit; first += pagesAtOnce) {
      const count = Math.min(pagesAtOnce, commit - first + 1)
      await this.handle.read(buffer, 0, count * pageSize, (first - 1) * pageSize)
      for (let i = 0; i < count; i++) {
        if (first + i === lockPgno(pageSize)) continue
        checksum = foldChecksum(checksum, pageChecksum(first + i, buffer.subarray(i * pageSize, (i + 1) * pageSize)))
      }
    }
    return checksum
  }

  /** Durable and visible on return. Throws OutputExistsError when something has come there meanwhile. */
  async publish(): Promise<void> {
    await this.handle.sync()
    await assertFree(this.path)
    try {
      await link(this.#temporary, this.path)
    } catch (error) {
      if (errorCode(error) === 'EEXIST') throw new OutputExistsError(this.path, undefined)
      // File systems without hard links.
      await rename(this.#temporary, this.path)
    }
    await syncDirectory(dirname(this.path))
  }

  /** Closes and removes what was not published. */
  async discard(): Promise<void> {
    await this.handle.close()
    await unlink(this.#temporary).catch(() => undefined)
  }
}

async function assertFree(path: string): Promise<void> {
  for (const suffix of ['', '-wal', '-journal', '-shm']) {
    if (await exists(path + suffix)) throw new OutputExistsError(path, suffix === '' ? undefined : path + suffix)
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch {
    return false
  }
}
