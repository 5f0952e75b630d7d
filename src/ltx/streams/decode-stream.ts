import { Decoder } from '../codec/decoder.ts'
import type { Header, Trailer } from '../format/header.ts'
import type { Pgno } from '../format/types.ts'
import { type ByteInput, chunksOf } from './byte-input.ts'

/**
 * Decodes a file while it arrives: `for await (const [pgno, page] of decodeStream(input))`. Memory: a chunk and a page,
 * however large the file is.
 */
export function decodeStream(input: ByteInput): DecodedStream {
  return new DecodedStream(input)
}

/**
 * The pages of one file, ascending by page number, each in memory of its own. Iterated once. Throws LTXError at the first
 * rule of the format that is broken; only when the iteration has ended is everything verified, the file's checksum included,
 * so whoever applies pages as they come must be able to undo it.
 */
export class DecodedStream implements AsyncIterable<readonly [Pgno, Uint8Array]> {
  readonly #decoder = new Decoder()
  readonly #chunks: AsyncIterator<Uint8Array>
  #trailer: Trailer | undefined
  #started = false
  #exhausted = false

  /** @internal */
  constructor(input: ByteInput) {
    this.#chunks = chunksOf(input)[Symbol.asyncIterator]()
  }

  /** Reads as far as the header, if that has not been read yet. Throws LTXError. */
  async header(): Promise<Header> {
    try {
      while (this.#decoder.header === undefined && (await this.#pushChunk()));
      if (this.#decoder.header === undefined) this.#decoder.end()
      return this.#decoder.header!
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /** Known, and the file verified, when the iteration has ended. Throws before that. */
  get trailer(): Trailer {
    if (this.#trailer === undefined) throw new Error('the file has not been read to its end')
    return this.#trailer
  }

  /** Lets go of an input that will not be read to its end. A loop that is left does it by itself. */
  async close(): Promise<void> {
    if (this.#exhausted) return
    this.#exhausted = true
    await this.#chunks.return?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly [Pgno, Uint8Array], void, void> {
    if (this.#started) throw new Error('a decoded stream can be iterated only once')
    this.#started = true
    const decoder = this.#decoder
    try {
      await this.header()
      do {
        for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
          yield [frame.pgno, frame.page().slice()]
        }
      } while (await this.#pushChunk())
      this.#trailer = decoder.end()
    } finally {
      await this.close()
    }
  }

  /** False: there is no further one. */
  async #pushChunk(): Promise<boolean> {
    if (this.#exhausted) return false
    const chunk = await this.#chunks.next()
    if (chunk.done === true) this.#exhausted = true
    else this.#decoder.push(chunk.value)
    return !this.#exhausted
  }
}
