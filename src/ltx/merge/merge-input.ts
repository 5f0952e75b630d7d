import { Decoder } from '../codec/decoder.ts'
import { FrameBatch } from '../codec/frame-batch.ts'
import { LTXError } from '../format/errors.ts'
import type { DecodedFrame, FrameSink } from '../format/frame.ts'
import type { Header, Trailer } from '../format/header.ts'

/** A file to merge. It is opened once, and stays open until the merge ends. */
export interface MergeInput {
  /** Used in messages: a path or a key. */
  readonly name?: string
  open(): AsyncIterable<Uint8Array> | Promise<AsyncIterable<Uint8Array>>
}

/** Chunks that can be read synchronously, which saves the cost of a promise a chunk. */
export interface PromptChunks extends AsyncIterator<Uint8Array, undefined> {
  /**
   * The next chunk. It begins with the last `again` bytes of the chunk before, unless the file has ended. Undefined:
   * call `next` instead.
   */
  nextNow(again: number): IteratorResult<Uint8Array, undefined> | undefined
}

/** One input during a merge. At most a chunk and a page of it are in memory. */
export class InputCursor {
  /** Used in messages. */
  readonly name: string
  readonly #decoder = new Decoder()
  readonly #batch: FrameBatch | undefined
  #chunks: AsyncIterator<Uint8Array> | PromptChunks | undefined
  #chunkBytes = 0
  #exhausted = false
  #trailer: Trailer | undefined
  /** The current page. 0 after the last one, and where `fill` is needed. */
  pgno = 0
  /** Undefined while pages are copied in batches. */
  frame: DecodedFrame | undefined

  /** `copied`: pages are only passed to `copyTo`, which is faster because their data is not needed. */
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

  /** Moves to the next page. False if the input has more and `fill` is needed to read it. */
  advance(): boolean {
    const batch = this.#batch
    if (batch?.next() === true) {
      this.pgno = batch.pgno
      return true
    }
    return this.#advanceInFile()
  }

  /** Appends the current page. */
  copyTo(sink: FrameSink): void {
    if (this.frame !== undefined) this.frame.copyTo(sink)
    else this.#batch?.copyTo(sink)
  }

  /** Reads up to the next page, or to the end of the input, which is then verified. */
  async fill(): Promise<void> {
    do {
      await this.#pushChunk()
    } while (!this.advance())
  }

  /** Closes the input. */
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
      throw this.#inFile(error)
    }
    if (this.frame !== undefined) this.pgno = this.frame.pgno
    return this.frame !== undefined || this.#exhausted
  }

  /** Reads the next chunk from the frame on that this chunk cuts short, so that no frame is joined from two chunks. */
  #readAgain(): boolean {
    const { cutBytes } = this.#decoder
    if (cutBytes === 0 || cutBytes === this.#chunkBytes) return false
    const chunk = this.#nextNow(cutBytes)
    if (chunk === undefined || chunk.done === true) return false
    this.#chunkBytes = chunk.value.length
    this.#decoder.pushAgain(chunk.value)
    return true
  }

  /** False at the end, and where the next chunk cannot be read synchronously. */
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
      throw this.#inFile(error)
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

  #inFile(error: unknown): unknown {
    return error instanceof LTXError ? error.inFile(this.name) : error
  }
}
