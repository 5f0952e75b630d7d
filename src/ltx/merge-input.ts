import { Decoder } from './decoder.ts'
import { LTXError } from './errors.ts'
import type { DecodedFrame } from './frame.ts'
import type { Header, Trailer } from './header.ts'

/** A file to merge. It is opened once, and stays open until the merge is over. */
export interface MergeInput {
  /** For messages: a path, a key. */
  readonly name?: string
  open(): AsyncIterable<Uint8Array> | Promise<AsyncIterable<Uint8Array>>
}

/** One input while it is being merged: at most a chunk and a page of it are in memory. */
export class InputCursor {
  /** For messages. */
  readonly name: string
  readonly #decoder: Decoder
  #chunks: AsyncIterator<Uint8Array> | undefined
  #exhausted = false
  #trailer: Trailer | undefined
  frame: DecodedFrame | undefined

  /** `ahead`: see Decoder. */
  constructor(index: number, name: string | undefined, ahead: boolean) {
    this.#decoder = new Decoder({ ahead })
    this.name = name === undefined ? `input ${index + 1}` : `input ${index + 1}, ${name}`
  }

  /** Opens the input and reads up to its first page. */
  async open(input: MergeInput): Promise<void> {
    const chunks = await input.open()
    this.#chunks = chunks[Symbol.asyncIterator]()
    while (this.#decoder.header === undefined && !this.#exhausted) await this.#pushChunk()
    if (this.#decoder.header === undefined) this.#end()
    if (!this.advance()) await this.fill()
  }

  get header(): Header {
    return this.#decoder.header!
  }

  /** Known once the input has been read to its end. */
  get trailer(): Trailer {
    return this.#trailer!
  }

  /** Goes to the next page. False: it takes a `fill`, the input having more. `frame` is undefined after the last page. */
  advance(): boolean {
    try {
      this.frame = this.#decoder.nextFrame()
    } catch (error) {
      throw this.#named(error)
    }
    return this.frame !== undefined || this.#exhausted
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
    if (!this.#exhausted) await chunks?.return?.()
  }

  async #pushChunk(): Promise<void> {
    const chunk = await this.#chunks!.next()
    if (chunk.done === true) {
      this.#exhausted = true
      if (this.#decoder.header !== undefined) this.#end()
    } else {
      try {
        this.#decoder.push(chunk.value)
      } catch (error) {
        throw this.#named(error)
      }
    }
  }

  #end(): void {
    try {
      this.#trailer = this.#decoder.end()
    } catch (error) {
      throw this.#named(error)
    }
  }

  #named(error: unknown): unknown {
    return error instanceof LTXError ? error.inFile(this.name) : error
  }
}
