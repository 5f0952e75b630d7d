/** For Node only, so not part of mod.ts. */
import { open, stat, type FileHandle } from 'node:fs/promises'
import { inTurn } from './in-turn.ts'
import type { MergeInput } from './merge-input.ts'

export interface FileInputsOptions {
  /** For the chunks of all files together. 32 MiB unless told otherwise; never less than 4 KiB a file. */
  readonly memoryBytes?: number
  /** So many files stay open; more are opened again for each chunk. 256 unless told otherwise. */
  readonly maxOpen?: number
}

const MAX_CHUNK_BYTES = 1024 * 1024
const MIN_CHUNK_BYTES = 4096
const LOOKING_AT_ONCE = 64

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
  #freeHandles: number
  #sizes: Promise<{ bytes: Float64Array; total: number }> | undefined

  constructor(paths: readonly string[], { memoryBytes = 32 * 1024 * 1024, maxOpen = 256 }: FileInputsOptions) {
    this.#paths = paths
    this.#memoryBytes = memoryBytes
    this.#freeHandles = maxOpen
  }

  /** Bytes of a file's chunk: half of the memory is shared out evenly, half by the files' sizes. */
  async size(index: number): Promise<number> {
    const { bytes, total } = await (this.#sizes ??= this.#lookAtAll())
    const even = Math.max(MIN_CHUNK_BYTES, this.#memoryBytes / 2 / this.#paths.length)
    const bySize = (this.#memoryBytes / 2) * (bytes[index]! / Math.max(1, total))
    // One more than the file has, so that the first read shows that it was the last.
    return Math.ceil(Math.min(MAX_CHUNK_BYTES, bytes[index]! + 1, even + bySize))
  }

  takeHandle(): boolean {
    if (this.#freeHandles === 0) return false
    this.#freeHandles--
    return true
  }

  returnHandle(): void {
    this.#freeHandles++
  }

  async #lookAtAll(): Promise<{ bytes: Float64Array; total: number }> {
    const bytes = new Float64Array(this.#paths.length)
    await inTurn(this.#paths, LOOKING_AT_ONCE, async (path, index) => void (bytes[index] = (await stat(path)).size))
    return { bytes, total: bytes.reduce((sum, size) => sum + size, 0) }
  }
}

/** One file, chunk by chunk, in one buffer. */
class FileChunks implements AsyncIterableIterator<Uint8Array> {
  readonly #path: string
  readonly #shelf: Shelf
  readonly #buffer: Uint8Array
  #handle: FileHandle | undefined
  #at = 0
  #ended = false

  constructor(path: string, shelf: Shelf, chunkBytes: number) {
    this.#path = path
    this.#shelf = shelf
    this.#buffer = new Uint8Array(chunkBytes)
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (this.#ended) return { done: true, value: undefined }
    const handle = this.#handle ?? (await open(this.#path, 'r'))
    let read = 0
    try {
      ;({ bytesRead: read } = await handle.read(this.#buffer, 0, this.#buffer.length, this.#at))
      this.#at += read
      // A regular file gives less than it is asked for at its end only.
      this.#ended = read < this.#buffer.length
    } finally {
      await this.#putBack(handle, this.#ended || read === 0)
    }
    return read === 0 ? { done: true, value: undefined } : { done: false, value: this.#buffer.subarray(0, read) }
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#ended = true
    if (this.#handle !== undefined) await this.#putBack(this.#handle, true)
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** Keeps a file open that will be read on, if that is possible. */
  async #putBack(handle: FileHandle, over: boolean): Promise<void> {
    const kept = handle === this.#handle
    if (!over && (kept || this.#shelf.takeHandle())) {
      this.#handle = handle
      return
    }
    this.#handle = undefined
    if (kept) this.#shelf.returnHandle()
    await handle.close()
  }
}
