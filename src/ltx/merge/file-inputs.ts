/** Needs Node.js, so mod.ts does not export it. */
import { closeSync, constants, openSync, readSync, statSync } from 'node:fs'
import type { MergeInput, PromptChunks } from './merge-input.ts'

export interface FileInputsOptions {
  /** Memory for the chunks of all files together. By default 16 MiB. At least 4 KiB a file. */
  readonly memoryBytes?: number
  /** How many files stay open. Others are reopened for each chunk. By default 256. */
  readonly maxOpen?: number
}

const MAX_CHUNK_BYTES = 1024 * 1024
const MIN_CHUNK_BYTES = 4096
/** Opening a pipe that has taken the place of a file must not wait. */
const READ = constants.O_RDONLY | constants.O_NONBLOCK
/** How long reads may block the event loop. */
const TURN_MS = 10

/**
 * Any number of files as the inputs of one merge. Memory and descriptors are bounded: a large file is read in larger
 * chunks than a small one, and a file that fits into its chunk is closed at once. A chunk is valid until the next one,
 * which suffices for a merge. Throws the errors of the file system.
 */
export function fileInputs(paths: readonly string[], options: FileInputsOptions = {}): MergeInput[] {
  const budget = new Budget(paths, options)
  return paths.map((path, index) => ({
    name: path,
    open: async () => new FileChunks(path, budget, await budget.chunkBytes(index)),
  }))
}

/** The memory and the descriptors that the files of one merge share. */
class Budget {
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

  /** Size of a file's chunks. Half of the memory is divided evenly, the other half by the files' sizes. */
  async chunkBytes(index: number): Promise<number> {
    const { bytes, total } = await (this.#sizes ??= this.#statAll())
    const even = Math.max(MIN_CHUNK_BYTES, this.#memoryBytes / 2 / this.#paths.length)
    const bySize = (this.#memoryBytes / 2) * (bytes[index]! / Math.max(1, total))
    // One byte more than the file has, so that the first read finds its end.
    return Math.ceil(Math.min(MAX_CHUNK_BYTES, bytes[index]! + 1, even + bySize))
  }

  acquireDescriptor(): boolean {
    if (this.#freeDescriptors === 0) return false
    this.#freeDescriptors--
    return true
  }

  releaseDescriptor(): void {
    this.#freeDescriptors++
  }

  get isTurnDue(): boolean {
    return performance.now() - this.#turnMs >= TURN_MS
  }

  /** Called before each read. Lets the event loop run if it has been blocked for long enough. */
  async turn(): Promise<void> {
    if (!this.isTurnDue) return
    await new Promise((resolve) => setImmediate(resolve))
    this.#turnMs = performance.now()
  }

  async #statAll(): Promise<{ bytes: Float64Array; total: number }> {
    const bytes = new Float64Array(this.#paths.length)
    for (const [index, path] of this.#paths.entries()) {
      await this.turn()
      bytes[index] = statSync(path).size
    }
    return { bytes, total: bytes.reduce((sum, size) => sum + size, 0) }
  }
}

/**
 * One file, chunk by chunk, in one buffer. Reads block this thread, which costs a tenth of a read through libuv's
 * threads. The budget counts the time, so that timers and signals still get their turn.
 */
class FileChunks implements AsyncIterableIterator<Uint8Array, undefined>, PromptChunks {
  readonly #path: string
  readonly #budget: Budget
  readonly #buffer: Uint8Array
  #fd: number | undefined
  #at = 0
  #ended = false

  constructor(path: string, budget: Budget, chunkBytes: number) {
    this.#path = path
    this.#budget = budget
    this.#buffer = Buffer.allocUnsafeSlow(chunkBytes)
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (!this.#ended) await this.#budget.turn()
    return this.#next()
  }

  nextNow(again: number): IteratorResult<Uint8Array, undefined> | undefined {
    if (this.#budget.isTurnDue) return undefined
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
    const fd = this.#fd ?? openSync(this.#path, READ)
    try {
      const read = readSync(fd, this.#buffer, 0, this.#buffer.length, this.#at)
      this.#at += read
      // A read of a regular file is short only at the file's end.
      this.#ended = read < this.#buffer.length
      if (this.#fd === undefined && !this.#ended && this.#budget.acquireDescriptor()) this.#fd = fd
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
    this.#budget.releaseDescriptor()
  }
}
