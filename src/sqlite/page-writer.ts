const BUFFER_BYTES = 1024 * 1024

/** Where pages are written, as to a FileHandle. */
export interface PageFile {
  write(bytes: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesWritten: number }>
}

/** Writes pages to a file. Gathers neighbouring pages into large writes, and fills a buffer while writing another. */
export class PageWriter {
  readonly #file: PageFile
  readonly #pageSize: number
  #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  #spare = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  #start = 0
  #used = 0
  #writing: Promise<void> | undefined

  constructor(file: PageFile, pageSize: number) {
    this.#file = file
    this.#pageSize = pageSize
  }

  /** Copies the page. Returns a promise when the buffers are full: await it before the next call. */
  write(pgno: number, page: Uint8Array): Promise<void> | undefined {
    const position = (pgno - 1) * this.#pageSize
    const contiguous = position === this.#start + this.#used && this.#used + this.#pageSize <= BUFFER_BYTES
    if (contiguous || this.#used === 0) {
      this.#append(position, page)
      return undefined
    }
    return this.#rotate().then(() => this.#append(position, page))
  }

  /** Writes every page so far. Does not make them durable. */
  async flush(): Promise<void> {
    await this.#rotate()
    await this.#writing
    this.#writing = undefined
  }

  #append(position: number, page: Uint8Array): void {
    if (this.#used === 0) this.#start = position
    this.#buffer.set(page, this.#used)
    this.#used += page.length
  }

  async #rotate(): Promise<void> {
    await this.#writing
    if (this.#used === 0) return
    const [full, used, start] = [this.#buffer, this.#used, this.#start]
    this.#buffer = this.#spare
    this.#spare = full
    this.#used = 0
    this.#writing = writeAll(this.#file, full.subarray(0, used), start)
    // The next await of #writing throws its error.
    this.#writing.catch(() => undefined)
  }
}

async function writeAll(file: PageFile, bytes: Buffer, position: number): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, position + at)
    at += bytesWritten
  }
}
