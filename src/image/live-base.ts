import { constants } from 'node:fs'
import { copyFile, type FileHandle, open } from 'node:fs/promises'
import { isPageSize } from '../ltx/format/types.ts'

const BUFFER_BYTES = 1024 * 1024

/** A raw copy of a database file, made while it may have been written to: any page may be torn or from another moment. */
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

  /** Copies in the kernel, sharing blocks where the file system can. */
  static async copy(source: string, to: string): Promise<LiveBase> {
    await copyFile(source, to, constants.COPYFILE_FICLONE)
    const handle = await open(to, 'r')
    const { size } = await handle.stat()
    return new LiveBase(handle, size)
  }

  /** What page 1 says of page size and size in pages; undefined where there is none. Source: sqlite.org/fileformat2.html. */
  async describe(): Promise<{ pageSize: number; commit: number } | undefined> {
    const header = Buffer.alloc(100)
    const { bytesRead } = await this.#handle.read(header, 0, 100, 0)
    const pageSize = header.readUInt16BE(16) === 1 ? 65536 : header.readUInt16BE(16)
    if (bytesRead < 100 || !isPageSize(pageSize)) return undefined
    return { pageSize, commit: header.readUInt32BE(28) }
  }

  /** Fast for ascending pages. The page is valid until the next call; undefined: the copy ends before it does. */
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
