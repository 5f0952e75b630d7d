import { type IndexRange, type PageIndex, pageIndexRange, readFrame, readPageIndex } from '../codec/page-index.ts'
import { LTXError } from '../format/errors.ts'
import {
  type Header,
  HEADER_SIZE,
  PAGE_HEADER_SIZE,
  type Trailer,
  TRAILER_SIZE,
  unmarshalHeader,
  unmarshalTrailer,
} from '../format/header.ts'
import type { Pgno } from '../format/types.ts'
import type { ByteRanges } from './byte-ranges.ts'

/** The first read from the end: the trailer, and the whole index of some 8,000 pages. */
const TAIL_BYTES = 64 * 1024

/** Three varints of at most ten bytes. */
const MAX_ENTRY_BYTES = 30
/** Page header, size, and a byte of data. */
const MIN_FRAME_BYTES = PAGE_HEADER_SIZE + 5

/**
 * Reads single pages of a file without the rest: header and page index when it is opened (one to three reads), then one
 * read for each page. Memory: twelve bytes a page, and a page.
 *
 * Header, index, trailer and page are checked to be well-formed, and the page to have the requested number. The file's
 * checksum covers the whole file, so only `verify` detects every changed byte.
 */
export class PageReader {
  readonly header: Header
  readonly trailer: Trailer
  /** Which pages the file has, and where. */
  readonly index: PageIndex
  readonly #source: ByteRanges

  private constructor(source: ByteRanges, header: Header, trailer: Trailer, index: PageIndex) {
    this.#source = source
    this.header = header
    this.trailer = trailer
    this.index = index
  }

  /** Throws LTXError, and the errors of the source. */
  static async open(source: ByteRanges): Promise<PageReader> {
    const { sizeBytes } = source
    if (sizeBytes < HEADER_SIZE) {
      throw new LTXError(`${sizeBytes} bytes are too few: a header has ${HEADER_SIZE}`, { offset: 0, field: 'header' })
    }
    const tailStart = Math.max(0, sizeBytes - TAIL_BYTES)
    const [tail, head] = await Promise.all([
      readRange(source, tailStart, sizeBytes),
      tailStart === 0 ? undefined : readRange(source, 0, HEADER_SIZE),
    ])
    const header = unmarshalHeader(head ?? tail)
    const range = pageIndexRange(tail, sizeBytes)
    assertPlausible(range, header)
    const trailerAt = sizeBytes - TRAILER_SIZE
    const trailer = unmarshalTrailer(tail.subarray(trailerAt - tailStart), header, trailerAt)
    const index =
      range.start >= tailStart
        ? tail.subarray(range.start - tailStart, range.end - tailStart)
        : await readRange(source, range.start, range.end)
    return new PageReader(source, header, trailer, readPageIndex(index, header, range))
  }

  /** A copy of the page's data. Undefined if the page is not in this file. Throws LTXError and the source's errors. */
  async page(pgno: Pgno): Promise<Uint8Array | undefined> {
    const entry = this.index.find(pgno)
    if (entry === undefined) return undefined
    const frame = await readRange(this.#source, entry.offset, entry.offset + entry.sizeBytes)
    return readFrame(frame, entry, this.header.pageSize)
  }
}

/** Throws if the index is longer than the file's possible pages allow, before memory is allocated for it. */
function assertPlausible({ start, end }: IndexRange, { commit }: Header): void {
  const pages = Math.min(commit, Math.floor((start - HEADER_SIZE - PAGE_HEADER_SIZE) / MIN_FRAME_BYTES))
  const largest = pages * MAX_ENTRY_BYTES + MAX_ENTRY_BYTES / 3
  if (end - start <= largest) return
  const problem = `${end - start} bytes are more than an index of ${pages} pages can have`
  throw new LTXError(problem, { offset: end, field: 'page index size' })
}

async function readRange(source: ByteRanges, start: number, end: number): Promise<Uint8Array> {
  const bytes = await source.read(start, end - start)
  if (bytes.length === end - start) return bytes
  throw new LTXError(`${bytes.length} bytes were read of ${end - start}`, { offset: start, field: 'range' })
}
