/** For Node only, so not part of mod.ts. */
import { closeSync, openSync, readSync, statSync } from 'node:fs'
import type { MergeInput, PromptChunks } from './merge-input.ts'

export interface FileInputsOptions {
  /** For the chunks of all files together. 16 MiB unless told otherwise; never less than 4 KiB a file. */
  readonly memoryBytes?: number
  /** So many files stay open; more are opened again for each chunk. 256 unless told otherwise. */
  readonly maxOpen?: number
}

const MAX_CHUNK_BYTES = 1024 * 1024
const MIN_CHUNK_BYTES = 4096
/** After so long the event loop gets its turn. */
const TURN_MS = 10

/**
 * Any number of files as the inputs of one merge, in memory and with descriptors that do not grow with their sizes and
 * numbers: a large file is read in larger chunks than a small one, a file that fits into its chunk is closed at once. A
 * chunk is valid until the next one, which is how a merge takes them. Throws what the file system says.
 */
export function fileInputs(paths: readonly string[], options: FileInputsOptions = {}): MergeInput[] {
  const shelf = new Shelf(paths, options)
  return paths.map((path, index) => ({
    name: path,
    open: async () => new FileChunks(path, shelf, await shelf.size(index)),
  }))
}

/** What the files of one merge share: memory and descriptors. */
class Shelf {
  readonly #paths: readonly string[]
  readonly #memoryBytes: number
  #freeDescriptors: number
  #turnMs = performance.now()
  #sizes: Promise<{ bytes: Float64Array; total: number }> | undefined

  constructor(paths: readonly string[], { memoryBytes = 16 * 1024 * 1024, maxOpen = 256 }: FileInputsOptions) {
    this.#paths = paths
    this.#memoryBytes = memoryBytes
    this.#freeDescriptors = maxOpen
  }

  /** Bytes of a file's chunk: half of the memory is shared out evenly, half by the files' sizes. */
  async size(index: number): Promise<number> {
    const { bytes, total } = await (this.#sizes ??= this.#lookAtAll())
    const even = Math.max(MIN_CHUNK_BYTES, this.#memoryBytes / 2 / this.#paths.length)
    const bySize = (this.#memoryBytes / 2) * (bytes[index]! / Math.max(1, total))
    // One more than the file has, so that the first read shows that it was the last.
    return Math.ceil(Math.min(MAX_CHUNK_BYTES, bytes[index]! + 1, even + bySize))
  }

  takeDescriptor(): boolean {
    if (this.#freeDescriptors === 0) return false
    this.#freeDescriptors--
    return true
  }

  returnDescriptor(): void {
    this.#freeDescriptors++
  }

  get isTurnDue(): boolean {
    return performance.now() - this.#turnMs >= TURN_MS
  }

  /** Before each read: lets the event loop run when it has waited long enough. */
  async turn(): Promise<void> {
    if (!this.isTurnDue) return
    await new Promise((resolve) => setImmediate(resolve))
    this.#turnMs = performance.now()
  }

  async #lookAtAll(): Promise<{ bytes: Float64Array; total: number }> {
    const bytes = new Float64Array(this.#paths.length)
    for (const [index, path] of this.#paths.entries()) {
      await this.turn()
      bytes[index] = statSync(path).size
    }
    return { bytes, total: bytes.reduce((sum, size) => sum + size, 0) }
  }
}

/**
 * One file, chunk by chunk, in one buffer. Reads wait in this thread, as the merge's own work does, which costs a tenth of
 * what a read through libuv's threads does; so that timers and signals get their turn all the same, the shelf counts.
 */
class FileChunks implements AsyncIterableIterator<Uint8Array, undefined>, PromptChunks {
  readonly #path: string
  readonly #shelf: Shelf
  readonly #buffer: Uint8Array
  #fd: number | undefined
  #at = 0
  #ended = false

  constructor(path: string, shelf: Shelf, chunkBytes: number) {
    this.#path = path
    this.#shelf = shelf
    this.#buffer = Buffer.allocUnsafeSlow(chunkBytes)
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (!this.#ended) await this.#shelf.turn()
    return this.#next()
  }

  nextNow(again: number): IteratorResult<Uint8Array, undefined> | undefined {
    if (this.#shelf.isTurnDue) return undefined
    if (!this.#ended) this.#at -= again
    return this.#next()
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#ended = true
    this.#close()
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  #next(): IteratorResult<Uint8Array, undefined> {
    const read = this.#ended ? 0 : this.#read()
    return read === 0 ? { done: true, value: undefined } : { done: false, value: this.#buffer.subarray(0, read) }
  }

  #read(): number {
    const fd = this.#fd ?? openSync(this.#path, 'r')
    try {
      const read = readSync(fd, this.#buffer, 0, this.#buffer.length, this.#at)
      this.#at += read
      // A regular file gives less than it is asked for at its end only.
      this.#ended = read < this.#buffer.length
      if (this.#fd === undefined && !this.#ended && this.#shelf.takeDescriptor()) this.#fd = fd
      return read
    } finally {
      if (this.#fd === undefined) closeSync(fd)
      else if (this.#ended) this.#close()
    }
  }

  #close(): void {
    if (this.#fd === undefined) return
    closeSync(this.#fd)
    this.#fd = undefined
    this.#shelf.returnDescriptor()
  }
}
