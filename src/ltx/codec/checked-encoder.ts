import { foldChecksum } from '../format/checksum.ts'
import { LTXError } from '../format/errors.ts'
import { hasChecksums, type Header, isSnapshot } from '../format/header.ts'
import { lastSnapshotPgno } from '../format/page-order.ts'
import { type Checksum, EMPTY_CHECKSUM, formatChecksum, type Pgno } from '../format/types.ts'
import { Encoder, type EncoderOptions, type EncoderResult } from './encoder.ts'

/**
 * An encoder that compares a snapshot's post-apply checksum with its pages, as a decoder will, and computes it where
 * it is absent.
 */
export class CheckedEncoder {
  readonly #encoder: Encoder
  /** Checksum of the pages so far. Undefined in files that do not hold every page of the database. */
  #database: Checksum | undefined
  #lastPgno = 0

  constructor(header: Header, write: (chunk: Uint8Array) => void, options: EncoderOptions = {}) {
    this.#encoder = new Encoder(header, write, options)
    if (hasChecksums(header) && (isSnapshot(header) || header.commit === 0)) this.#database = EMPTY_CHECKSUM
  }

  /** Throws LTXError. */
  writePage(pgno: Pgno, page: Uint8Array): void {
    this.#encoder.writePage(pgno, page)
    this.#lastPgno = pgno
    if (this.#database !== undefined) {
      this.#database = foldChecksum(this.#database, this.#encoder.lastPageChecksum())
    }
  }

  /** Throws LTXError if the checksum does not match the pages, or is required and missing. */
  finish(given?: Checksum | 0n): EncoderResult {
    const { header } = this.#encoder
    const expected = hasChecksums(header) ? this.#database : 0n
    if (given === undefined && expected === undefined) {
      throw new LTXError('is missing: it can be computed from the pages of a snapshot only', { field: FIELD })
    }
    // The encoder has better messages for all other errors, an incomplete snapshot included.
    const complete = isSnapshot(header) && header.commit > 0 && this.#lastPgno === lastSnapshotPgno(header)
    if (complete && this.#database !== undefined && given !== undefined && given !== 0n && given !== this.#database) {
      const [has, is] = [given, this.#database].map(formatChecksum)
      throw new LTXError(`${has} is not the checksum of the snapshot's pages, ${is}`, { field: FIELD })
    }
    return this.#encoder.finish(given ?? expected ?? 0n)
  }

  /** Abandons a file that will not be finished. */
  abort(): void {
    this.#encoder.abort()
  }
}

const FIELD = 'post-apply checksum'
