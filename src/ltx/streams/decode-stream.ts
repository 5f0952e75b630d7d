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
 * The pages of one file, ascending by page number, each a copy. Can be iterated once. Throws LTXError where the file
 * first breaks a rule of the format. The file's checksum is verified at the end of the iteration, so a program that
 * applies pages as they come must be able to undo that.
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

  /** Reads the header, unless it has been read before. Throws LTXError. */
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

  /** The trailer of the verified file. Throws before the iteration has ended. */
  get trailer(): Trailer {
    if (this.#trailer === undefined) throw new Error('the file has not been read to its end')
    return this.#trailer
  }

  /** Closes an input that will not be read to its end. Leaving a loop closes it, too. */
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

  /** False if there are no more chunks. */
  async #pushChunk(): Promise<boolean> {
    if (this.#exhausted) return false
    const chunk = await this.#chunks.next()
    if (chunk.done === true) this.#exhausted = true
    else this.#decoder.push(chunk.value)
    return !this.#exhausted
  }
}
