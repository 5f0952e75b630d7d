import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { DATABASE_HEADER_SIZE, parseDatabaseHeader, sizePages } from '../sqlite/database-header.ts'
import { copyFile } from '../util/copy-file.ts'
import { assertDiskSpace } from '../util/disk-space.ts'
import type { Files } from '../util/files.ts'
import { PRIVATE } from '../util/private-files.ts'

const BUFFER_BYTES = 1024 * 1024

/** A raw copy of a database file that may be written to meanwhile: any page may be torn, or older than another. */
export class LiveBase {
  readonly #handle: FileHandle
  readonly sizeBytes: number
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  #start = 0
  #length = 0

  private constructor(handle: FileHandle, sizeBytes: number) {
    this.#handle = handle
    this.sizeBytes = sizeBytes
  }

  /** Copies in the kernel, sharing blocks where the file system can. Throws DiskSpaceError. */
  static async copy(files: Files, source: string, to: string): Promise<LiveBase> {
    const fd = files.open(source, constants.O_RDONLY)
    try {
      const before = (sizeBytes: number) => assertDiskSpace(`a copy of ${source}`, dirname(to), sizeBytes)
      await copyFile(`/proc/self/fd/${fd}`, to, PRIVATE.file, { before })
    } finally {
      files.close(fd)
    }
    const handle = await open(to, 'r')
    const { size } = await handle.stat()
    return new LiveBase(handle, size)
  }

  /** Page size, and size in pages, by the header in page 1; undefined without a valid header. */
  async describe(): Promise<{ pageSize: number; commit: number } | undefined> {
    const bytes = Buffer.alloc(DATABASE_HEADER_SIZE)
    const { bytesRead } = await this.#handle.read(bytes, 0, bytes.length, 0)
    const header = parseDatabaseHeader(bytes.subarray(0, bytesRead))
    if (header === undefined) return undefined
    return { pageSize: header.pageSize, commit: sizePages(header, this.sizeBytes) }
  }

  /** Fast for ascending pages. The page is valid until the next call. Undefined when the copy ends before the page. */
  async page(pgno: number, pageSize: number): Promise<Uint8Array | undefined> {
    const position = (pgno - 1) * pageSize
    if (position < this.#start || position + pageSize > this.#start + this.#length) {
      const { bytesRead } = await this.#handle.read(this.#buffer, 0, BUFFER_BYTES, position)
      this.#start = position
      this.#length = bytesRead
      if (bytesRead < pageSize) return undefined
    }
    const at = position - this.#start
    return this.#buffer.subarray(at, at + pageSize)
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}
