import type { Encoder } from '../codec/encoder.ts'
import { LTXError } from '../format/errors.ts'
import type { Frame } from '../format/frame.ts'
import type { Header, Trailer } from '../format/header.ts'
import { formatTXID } from '../format/types.ts'
import { InputHeap } from './heap.ts'
import { InputCursor, type MergeInput } from './merge-input.ts'

/** Options of every merge. */
export interface MergeOptions {
  /** Aborts the merge, which then throws the signal's reason. */
  readonly signal?: AbortSignal
}

/**
 * Merges files in TXID order into one sequence of pages: see PageMerge. Throws RangeError unless there are 1 to 65,536
 * files.
 */
export function mergePages(inputs: readonly MergeInput[], options: MergeOptions = {}): PageMerge {
  return new PageMerge(inputs, options)
}

const MAX_INPUTS = 65536

/**
 * Merges files in TXID order: the newest version of each page, ascending by page number, none beyond the last file's
 * commit size. Every file is verified to its end. Memory: a chunk and a page for each input.
 *
 * An async iterable of frames, each valid until the next is requested. For many pages, `next` and `fill` do the same
 * without a promise a page.
 */
export class PageMerge implements AsyncIterable<Frame> {
  readonly #inputs: readonly MergeInput[]
  readonly #cursors: InputCursor[]
  readonly #signal: AbortSignal | undefined
  /** Inputs that have a page. */
  readonly #heap: InputHeap
  /** The page number that was returned last. Inputs at it advance at the next call. */
  #taken = 0
  /** Of the last input. */
  #commit = 0
  /** Inputs that need more of their file. */
  #waiting: number[] = []
  #opened: Promise<void> | undefined

  /** @internal Throws RangeError like `mergePages`. `copied`: see InputCursor. Then use `copyPages`. */
  constructor(inputs: readonly MergeInput[], options: MergeOptions & { readonly copied?: boolean } = {}) {
    if (inputs.length === 0 || inputs.length > MAX_INPUTS) {
      throw new RangeError(`${inputs.length} files can't be merged: expected 1 to ${MAX_INPUTS}`)
    }
    this.#inputs = inputs
    this.#cursors = inputs.map(({ name }, index) => new InputCursor(index, name, options.copied === true))
    this.#heap = new InputHeap(inputs.length)
    this.#signal = options.signal
  }

  /** Opens every input and reads up to its first page. Throws LTXError if they do not continue each other. */
  open(): Promise<void> {
    return (this.#opened ??= this.#open())
  }

  /** Header of each input, in their order. */
  get headers(): readonly Header[] {
    return this.#cursors.map(({ header }) => header)
  }

  /** The name of an input in messages. */
  nameOf(index: number): string {
    return this.#cursors[index]!.name
  }

  /** Header of the first input: the merged pages' min TXID and pre-apply checksum. */
  get first(): Header {
    return this.#cursors[0]!.header
  }

  /** Header of the last input: their max TXID, commit size and timestamp. */
  get last(): Header {
    return this.#cursors.at(-1).header
  }

  /** Trailer of each input, once `next` has returned the last page. */
  get trailers(): readonly Trailer[] {
    return this.#cursors.map(({ trailer }) => trailer)
  }

  /** True once every input has been read to its end and verified. */
  get ended(): boolean {
    return this.#heap.size === 0 && this.#waiting.length === 0
  }

  /** The next page, valid until the next call of any method. Undefined: call `fill`, unless `ended`. */
  next(): Frame | undefined {
    const heap = this.#heap
    for (;;) {
      while (heap.size > 0 && heap.firstPgno === this.#taken) this.#advanceFirst(heap.first)
      if (this.#waiting.length > 0 || heap.size === 0) return undefined
      this.#taken = heap.firstPgno
      if (this.#taken <= this.#commit) return this.#cursors[heap.first]!.frame
    }
  }

  /**
   * @internal Copies pages until the encoder has written a chunk, or `fill` is needed. All pages in one loop, because
   * most of it runs before it is compiled.
   */
  copyPages(encoder: Encoder, chunks: readonly Uint8Array[]): void {
    const heap = this.#heap
    while (chunks.length === 0) {
      while (heap.size > 0 && heap.firstPgno === this.#taken) this.#advanceFirst(heap.first)
      if (this.#waiting.length > 0 || heap.size === 0) return
      this.#taken = heap.firstPgno
      if (this.#taken <= this.#commit) this.#cursors[heap.first]!.copyTo(encoder)
    }
  }

  /** Reads the next chunk of each input that needs one. */
  async fill(): Promise<void> {
    this.#signal?.throwIfAborted()
    const waiting = this.#waiting
    const filled = await Promise.allSettled(waiting.map((index) => this.#cursors[index]!.fill()))
    throwFirst(filled)
    this.#waiting = []
    for (const index of waiting) this.#enqueue(index)
  }

  /** Closes every input. Nothing can be read afterwards. */
  async close(): Promise<void> {
    await this.#opened?.catch(() => {})
    throwFirst(await Promise.allSettled(this.#cursors.map((cursor) => cursor.close())))
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Frame, void, void> {
    try {
      await this.open()
      while (!this.ended) {
        for (let frame = this.next(); frame !== undefined; frame = this.next()) yield frame
        if (!this.ended) await this.fill()
      }
    } finally {
      await this.close()
    }
  }

  async #open(): Promise<void> {
    this.#signal?.throwIfAborted()
    const opened = this.#cursors.map((cursor, index) => cursor.open(this.#inputs[index]!))
    throwFirst(await Promise.allSettled(opened))
    this.#signal?.throwIfAborted()
    for (let index = 1; index < this.#cursors.length; index++) {
      assertFollows(this.#cursors[index - 1]!, this.#cursors[index]!)
    }
    this.#commit = this.last.commit
    this.#cursors.forEach((_, index) => this.#enqueue(index))
  }

  /** Moves the first input of the heap to its next page, or removes it. */
  #advanceFirst(index: number): void {
    const cursor = this.#cursors[index]!
    const known = cursor.advance()
    if (cursor.pgno !== 0) {
      this.#heap.advance(cursor.pgno)
      return
    }
    this.#heap.pop()
    if (!known) this.#waiting.push(index)
  }

  #enqueue(index: number): void {
    const { pgno } = this.#cursors[index]!
    if (pgno !== 0) this.#heap.push(index, pgno)
  }
}

/** Same page size, starting at most one past the other's end, and ending later. */
function assertFollows(before: InputCursor, after: InputCursor): void {
  const [one, two] = [before.header, after.header]
  if (one.pageSize !== two.pageSize) {
    const problem = `${two.pageSize} is not the ${one.pageSize} of ${before.name}`
    throw new LTXError(problem, { field: 'page size', file: after.name })
  }
  if (two.minTXID > one.maxTXID + 1n || two.maxTXID <= one.maxTXID) {
    const range = ({ minTXID, maxTXID }: Header) => `${formatTXID(minTXID)}-${formatTXID(maxTXID)}`
    const problem = `${range(two)} does not continue ${range(one)} of ${before.name}`
    throw new LTXError(problem, { field: 'TXIDs', file: after.name })
  }
}

function throwFirst(results: readonly PromiseSettledResult<unknown>[]): void {
  for (const result of results) if (result.status === 'rejected') throw result.reason
}
