import { LTXError } from '../format/errors.ts'
import { type Header, type Trailer, TRAILER_SIZE, unmarshalTrailer } from '../format/header.ts'
import { type Checksum, formatChecksum } from '../format/types.ts'
import type { CRCRegister } from '../kernels/crc.ts'
import type { ChecksumFold } from '../kernels/digest.ts'
import type { ByteSource } from './byte-source.ts'
import type { IndexCheck } from './index-check.ts'

const INDEX_SIZE_BYTES = 8

/** The part that comes next. Messages use the name too. */
type Phase = 'page index' | 'page index size' | 'trailer' | 'ended'

/** What the pages before the tail add up to. */
export interface DecodedPages {
  readonly header: Header
  /** CRC of the file's bytes so far. */
  readonly crc: CRCRegister
  readonly index: IndexCheck
  /** Rolling checksum of a snapshot's pages. Undefined in other files, and in files without database checksums. */
  readonly database: ChecksumFold | undefined
}

/** Reads the rest of a file behind its last page, and checks it: page index, size of the index, trailer. */
export class TailReader {
  readonly #input: ByteSource
  readonly #pages: DecodedPages
  #phase: Phase = 'page index'
  #trailer: Trailer | undefined

  constructor(input: ByteSource, pages: DecodedPages) {
    this.#input = input
    this.#pages = pages
  }

  get phase(): Phase {
    return this.#phase
  }

  /** Defined at the end of the file. */
  get trailer(): Trailer | undefined {
    return this.#trailer
  }

  /** Reads all that the chunk has. */
  read(): void {
    const input = this.#input
    if (this.#phase === 'page index' && !this.#readIndex()) return
    if (this.#phase === 'page index size') {
      if (!input.gather(INDEX_SIZE_BYTES)) return
      this.#readIndexSize()
    }
    if (this.#phase === 'trailer') {
      if (!input.gather(TRAILER_SIZE)) return
      this.#readTrailer()
    }
    if (input.rest > 0) throw this.#invalid('trailer', 'other bytes follow it: expected the end of the file')
  }

  /** False if the index continues in the next chunk. */
  #readIndex(): boolean {
    const input = this.#input
    const { crc, index } = this.#pages
    const { used, ended } = index.read(input.peekRest(), input.offset)
    crc.update(input.drain(used))
    if (ended) this.#phase = 'page index size'
    return ended
  }

  #readIndexSize(): void {
    const input = this.#input
    const { crc, index } = this.#pages
    const bytes = input.source.subarray(input.start, input.start + INDEX_SIZE_BYTES)
    const size = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0)
    if (size !== BigInt(index.sizeBytes)) {
      throw this.#invalid('page index size', `${size} is not the index's size of ${index.sizeBytes} bytes`)
    }
    crc.update(bytes)
    input.consume(INDEX_SIZE_BYTES)
    this.#phase = 'trailer'
  }

  #readTrailer(): void {
    const input = this.#input
    const { crc, header } = this.#pages
    const bytes = input.source.subarray(input.start, input.start + TRAILER_SIZE)
    const trailer = unmarshalTrailer(bytes, header, input.offset)
    const { postApplyChecksum, fileChecksum } = trailer
    crc.update(bytes.subarray(0, 8))
    const computed = crc.checksum() as Checksum
    if (fileChecksum !== computed) {
      const [stored, actual] = [fileChecksum, computed].map(formatChecksum)
      const problem = `${stored} stands in the file, whose content has ${actual}`
      throw this.#invalid('file checksum', problem, 8)
    }
    const database = this.#pages.database?.checksum() as Checksum | undefined
    if (database !== undefined && postApplyChecksum !== database) {
      const stored = formatChecksum(postApplyChecksum as Checksum)
      const problem = `${stored} is not the checksum of the snapshot's pages, ${formatChecksum(database)}`
      throw this.#invalid('post-apply checksum', problem)
    }
    input.consume(TRAILER_SIZE)
    this.#trailer = trailer
    this.#phase = 'ended'
  }

  /** `ahead`: bytes from the first one that has not been consumed to the invalid ones. */
  #invalid(field: string, problem: string, ahead = 0): LTXError {
    return new LTXError(problem, { offset: this.#input.offset + ahead, field })
  }
}
