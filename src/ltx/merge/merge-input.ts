import { Decoder } from '../codec/decoder.ts'
import { FrameBatch } from '../codec/frame-batch.ts'
import { LTXError } from '../format/errors.ts'
import type { DecodedFrame, FrameSink } from '../format/frame.ts'
import type { Header, Trailer } from '../format/header.ts'

/** A file to merge. It is opened once, and stays open until the merge is over. */
export interface MergeInput {
  /** For messages: a path, a key. */
  readonly name?: string
  open(): AsyncIterable<Uint8Array> | Promise<AsyncIterable<Uint8Array>>
}

/** Chunks that need no waiting for: what merges files then spends on promises, it does not. */
export interface PromptChunks extends AsyncIterator<Uint8Array, undefined> {
  /**
   * The next chunk; undefined where it takes `next` all the same. The last `again` bytes of the chunk before come once more, at its
   * beginning: none where it is the end.
   */
  nextNow(again: number): IteratorResult<Uint8Array, undefined> | undefined
}

/** One input while it is being merged: at most a chunk and a page of it are in memory. */
export class InputCursor {
  /** For messages. */
  readonly name: string
  readonly #decoder = new Decoder()
  readonly #batch: FrameBatch | undefined
  #chunks: AsyncIterator<Uint8Array> | PromptChunks | undefined
  #chunkBytes = 0
  #exhausted = false
  #trailer: Trailer | undefined
  /** The page that it is at; 0 after the last one, and where it takes a `fill`. */
  pgno = 0
  /** Undefined while pages are copied in batches. */
  frame: DecodedFrame | undefined

  /** `copied`: pages are for `copyTo`, which is faster where nobody asks for their data. */
  constructor(index: number, name: string | undefined, copied: boolean) {
    if (copied) this.#batch = new FrameBatch()
    this.name = name === undefined ? `input ${index + 1}` : `input ${index + 1}, ${name}`
  }

  /** Opens the input and reads up to its first page. */
  async open(input: MergeInput): Promise<void> {
    const chunks = await input.open()
    this.#chunks = chunks[Symbol.asyncIterator]()
    while (this.#decoder.header === undefined && !this.#exhausted) await this.#pushChunk()
    if (!this.advance()) await this.fill()
  }

  get header(): Header {
    return this.#decoder.header!
  }

  /** Known once the input has been read to its end. */
  get trailer(): Trailer {
    return this.#trailer!
  }

  /** Goes to the next page. False: it takes a `fill`, the input having more. */
  advance(): boolean {
    const batch = this.#batch
    if (batch?.next() === true) {
      this.pgno = batch.pgno
      return true
    }
    return this.#advanceInFile()
  }

  /** Appends the page that it is at. */
  copyTo(sink: FrameSink): void {
    if (this.frame !== undefined) this.frame.copyTo(sink)
    else this.#batch?.copyTo(sink)
  }

  /** Reads until there is a page or the input, checked, has ended. */
  async fill(): Promise<void> {
    do {
      await this.#pushChunk()
    } while (!this.advance())
  }

  /** Lets go of the input. */
  async close(): Promise<void> {
    const chunks = this.#chunks
    this.#chunks = undefined
    this.frame = undefined
    this.pgno = 0
    if (!this.#exhausted) await chunks?.return?.()
  }

  #advanceInFile(): boolean {
    const batch = this.#batch
    const decoder = this.#decoder
    this.frame = undefined
    this.pgno = 0
    try {
      do {
        if (batch !== undefined && (decoder.nextBatch(batch) || (this.#readAgain() && decoder.nextBatch(batch)))) {
          return this.advance()
        }
        this.frame = decoder.nextFrame()
      } while (this.frame === undefined && this.#readOn())
    } catch (error) {
      throw this.#named(error)
    }
    if (this.frame !== undefined) this.pgno = this.frame.pgno
    return this.frame !== undefined || this.#exhausted
  }

  /** The next chunk, if it begins with the frame that this one has the beginning of: then no frame has to be put together from two. */
  #readAgain(): boolean {
    const { cutBytes } = this.#decoder
    if (cutBytes === 0 || cutBytes === this.#chunkBytes) return false
    const chunk = this.#nextNow(cutBytes)
    if (chunk === undefined || chunk.done === true) return false
    this.#chunkBytes = chunk.value.length
    this.#decoder.pushAgain(chunk.value)
    return true
  }

  /** False at the end, and where the next chunk has to be waited for. */
  #readOn(): boolean {
    const chunk = this.#exhausted ? undefined : this.#nextNow(0)
    if (chunk === undefined) return false
    this.#take(chunk)
    return chunk.done !== true
  }

  #nextNow(again: number): IteratorResult<Uint8Array, undefined> | undefined {
    const chunks = this.#chunks
    return chunks !== undefined && 'nextNow' in chunks ? chunks.nextNow(again) : undefined
  }

  async #pushChunk(): Promise<void> {
    try {
      this.#take(await this.#chunks!.next())
    } catch (error) {
      throw this.#named(error)
    }
  }

  #take(chunk: IteratorResult<Uint8Array, undefined>): void {
    if (chunk.done === true) {
      this.#exhausted = true
      this.#trailer = this.#decoder.end()
    } else {
      this.#chunkBytes = chunk.value.length
      this.#decoder.push(chunk.value)
    }
  }

  #named(error: unknown): unknown {
    return error instanceof LTXError ? error.inFile(this.name) : error
  }
}
