import { CheckedEncoder } from '../codec/checked-encoder.ts'
import type { EncoderOptions, EncoderResult } from '../codec/encoder.ts'
import type { Header } from '../format/header.ts'
import type { Checksum, Pgno } from '../format/types.ts'

/** Pages in ascending order by page number. */
export type PageInput = Iterable<readonly [Pgno, Uint8Array]> | AsyncIterable<readonly [Pgno, Uint8Array]>

/** Options of an encoded stream. */
export interface EncodeStreamOptions extends EncoderOptions {
  /**
   * The checksum of the whole database after the transaction, or zero without checksums. A function is called after
   * the last page. Optional in files without checksums, and in snapshots, whose pages are the whole database.
   */
  readonly postApplyChecksum?: Checksum | 0n | (() => Checksum | 0n)
}

/**
 * Encodes a file from pages in ascending order. Each must stay valid until the next one is requested. Memory: a chunk,
 * and eight to ten bytes a page for the page index unless it may spill.
 */
export function encodeStream(header: Header, pages: PageInput, options: EncodeStreamOptions = {}): EncodedStream {
  return new EncodedStream(header, pages, options)
}

/** The file's bytes, in chunks that stay valid. Can be iterated once. Throws LTXError if the file would be invalid. */
export class EncodedStream implements AsyncIterable<Uint8Array> {
  readonly #header: Header
  readonly #pages: PageInput
  readonly #options: EncodeStreamOptions
  #started = false
  #result: EncoderResult | undefined

  /** @internal */
  constructor(header: Header, pages: PageInput, options: EncodeStreamOptions) {
    this.#header = header
    this.#pages = pages
    this.#options = options
  }

  /** Trailer and size. Throws before the iteration has ended. */
  get result(): EncoderResult {
    if (this.#result === undefined) throw new Error('the file has not been written to its end')
    return this.#result
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    if (this.#started) throw new Error('an encoded stream can be iterated only once')
    this.#started = true
    const chunks: Uint8Array[] = []
    const { postApplyChecksum } = this.#options
    const encoder = new CheckedEncoder(this.#header, (chunk) => chunks.push(chunk.slice()), this.#options)
    try {
      for await (const [pgno, page] of this.#pages) {
        encoder.writePage(pgno, page)
        while (chunks.length > 0) yield chunks.shift()!
      }
      this.#result = encoder.finish(typeof postApplyChecksum === 'function' ? postApplyChecksum() : postApplyChecksum)
      yield* chunks
    } finally {
      encoder.abort()
    }
  }
}
