/** Shows an LTX file byte by byte, for people. Invalid parts are shown and named instead of rejected. */
import { frameExtent } from './codec/lz4-frame.ts'
import { readFrame } from './codec/page-index.ts'
import { pageChecksum } from './format/checksum.ts'
import { LTXError } from './format/errors.ts'
import { type Field, HEADER_FIELDS, TRAILER_FIELDS } from './format/fields.ts'
import { HEADER_SIZE, PAGE_HAS_SIZE, PAGE_HEADER_SIZE, TRAILER_SIZE, unmarshalHeader } from './format/header.ts'
import { formatChecksum, isPageSize } from './format/types.ts'
import { UvarintReader } from './format/varint.ts'
import { blockBound } from './kernels/lz4-block.ts'

/** A run of bytes with one meaning. */
export interface Part {
  readonly offset: number
  /** How many bytes the part has in the file. */
  readonly sizeBytes: number
  /** Its bytes. Of a page's data, only the requested number. */
  readonly bytes: Uint8Array
  /** The part's name in the format's own words; undefined where parts were left out. */
  readonly field: string | undefined
  readonly meaning: string
  /** Why the part is invalid. */
  readonly problem?: string
}

export interface AnatomyOptions {
  /** How many pages, and page index entries, are shown. The rest is one part each, without bytes. */
  readonly maxPages: number
  /** How many bytes of a page's data are shown. */
  readonly maxDataBytes: number
}

/** Reads `length` bytes at `offset`, or fewer at the end of the file. */
export type ReadAt = (offset: number, length: number) => Uint8Array

const INDEX_SIZE_BYTES = 8
const BLOCK_SIZE_BYTES = 4

/**
 * Yields a file's parts in order. Throws LTXError, after the parts before it, where the meaning of the next bytes is
 * unknown. Bytes with a known meaning and an invalid value have a `problem`. Checksums of the whole file are not
 * checked: see Decoder.
 */
export function* anatomy(read: ReadAt, sizeBytes: number, options: AnatomyOptions): Generator<Part, void, void> {
  const header = take(read, 0, HEADER_SIZE, 'header')
  yield* fieldsOf(header, 0, HEADER_FIELDS, problemOf(header))
  const pageSize = new DataView(header.buffer, header.byteOffset).getUint32(8)
  if (!isPageSize(pageSize)) {
    throw new LTXError(`${pageSize} is not a page size: the pages cannot be located`, { offset: 8, field: 'page size' })
  }
  const pages = yield* pageBlock(read, pageSize, options)
  const index = yield* pageIndex(read, pages.end, pages.count, options)
  const tail = take(read, index.end, INDEX_SIZE_BYTES, 'page index size')
  const written = new DataView(tail.buffer, tail.byteOffset).getBigUint64(0)
  const actual = index.end - pages.end
  const part = { offset: index.end, sizeBytes: INDEX_SIZE_BYTES, bytes: tail, field: 'page index size' }
  const right = written === BigInt(actual) ? {} : { problem: `the index has ${actual} bytes` }
  yield { ...part, meaning: `${written} bytes`, ...right }
  const trailerAt = index.end + INDEX_SIZE_BYTES
  yield* fieldsOf(take(read, trailerAt, TRAILER_SIZE, 'trailer'), trailerAt, TRAILER_FIELDS)
  const end = trailerAt + TRAILER_SIZE
  if (end < sizeBytes) {
    const rest = { offset: end, sizeBytes: sizeBytes - end, bytes: new Uint8Array(read(end, options.maxDataBytes)) }
    yield { ...rest, field: 'trailer', meaning: `${sizeBytes - end} bytes`, problem: 'expected the end of the file' }
  }
}

function* pageBlock(
  read: ReadAt,
  pageSize: number,
  options: AnatomyOptions,
): Generator<Part, { end: number; count: number }, void> {
  let at = HEADER_SIZE
  let count = 0
  for (; ; count++) {
    const head = take(read, at, PAGE_HEADER_SIZE, 'page header')
    const view = new DataView(head.buffer, head.byteOffset)
    const [pgno, flags] = [view.getUint32(0), view.getUint16(4)]
    if (pgno === 0 && flags === 0) {
      if (count > options.maxPages) yield omitted(at, `${count - options.maxPages} more pages`)
      const meaning = `end of ${count} pages`
      yield { offset: at, sizeBytes: PAGE_HEADER_SIZE, bytes: head, field: 'page header', meaning }
      return { end: at + PAGE_HEADER_SIZE, count }
    }
    const isShown = count < options.maxPages
    if (isShown) {
      yield { offset: at, sizeBytes: 4, bytes: head.subarray(0, 4), field: 'page number', meaning: `page ${pgno}` }
      const problem = (flags & ~PAGE_HAS_SIZE) === 0 ? {} : { problem: 'expected 0x0 or 0x1' }
      const meaning = `0x${flags.toString(16)}: ${flags === 0 ? 'an LZ4 frame follows' : 'size and LZ4 block follow'}`
      yield { offset: at + 4, sizeBytes: 2, bytes: head.subarray(4), field: 'page flags', meaning, ...problem }
    }
    const frame = flags === 0 ? frameAt(read, at, pageSize) : yield* blockAt(read, at, pageSize, isShown)
    if (isShown) yield describeData(read, { pgno, offset: at, ...frame }, pageSize, options.maxDataBytes)
    at += frame.dataAt + frame.dataBytes
  }
}

/** Offset of a page's data from its header, and the data's size. */
interface Data {
  readonly dataAt: number
  readonly dataBytes: number
}

function* blockAt(read: ReadAt, at: number, pageSize: number, isShown: boolean): Generator<Part, Data, void> {
  const offset = at + PAGE_HEADER_SIZE
  const bytes = take(read, offset, BLOCK_SIZE_BYTES, 'page data size')
  const dataBytes = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  const part = { offset, sizeBytes: BLOCK_SIZE_BYTES, bytes, field: 'page data size' }
  if (isShown) yield { ...part, meaning: `${dataBytes} bytes` }
  if (dataBytes === 0 || dataBytes > blockBound(pageSize)) {
    const problem = `${dataBytes} bytes are not an LZ4 block of a page of ${pageSize} bytes`
    throw new LTXError(problem, { offset, field: 'page data size' })
  }
  return { dataAt: PAGE_HEADER_SIZE + BLOCK_SIZE_BYTES, dataBytes }
}

function frameAt(read: ReadAt, at: number, pageSize: number): Data {
  const offset = at + PAGE_HEADER_SIZE
  for (let have = 0; ;) {
    const bytes = take(read, offset, have, 'page data')
    const extent = frameExtent({ bytes, start: 0, have, offset }, pageSize)
    if (extent === have) return { dataAt: PAGE_HEADER_SIZE, dataBytes: have }
    have = extent
  }
}

function describeData(
  read: ReadAt,
  { pgno, offset, dataAt, dataBytes }: Data & { pgno: number; offset: number },
  pageSize: number,
  maxDataBytes: number,
): Part {
  const at = offset + dataAt
  const bytes = take(read, at, Math.min(dataBytes, maxDataBytes), 'page data')
  const part = { offset: at, sizeBytes: dataBytes, bytes, field: 'page data' }
  const sizeBytes = dataAt + dataBytes
  try {
    const page = readFrame(take(read, offset, sizeBytes, 'page data'), { pgno, offset, sizeBytes }, pageSize)
    const meaning = `${dataBytes} bytes of LZ4, checksum ${formatChecksum(pageChecksum(pgno, page))}`
    return { ...part, meaning }
  } catch (error) {
    if (!(error instanceof LTXError) || bytes.length < Math.min(dataBytes, maxDataBytes)) throw error
    return { ...part, meaning: `${dataBytes} bytes`, problem: error.message }
  }
}

function* pageIndex(
  read: ReadAt,
  start: number,
  count: number,
  { maxPages }: AnatomyOptions,
): Generator<Part, { end: number }, void> {
  let at = start
  for (let n = 0; ; n++) {
    const entryAt = at
    const values: number[] = []
    while (values.length < 3 && (values.length !== 1 || values[0] !== 0)) {
      const { value, end } = takeUvarint(read, at)
      values.push(value)
      at = end
    }
    const bytes = take(read, entryAt, at - entryAt, 'page index')
    const part = { offset: entryAt, sizeBytes: at - entryAt, bytes, field: 'page index' }
    const [pgno, offset, size] = values
    if (pgno === 0) {
      if (n > maxPages) yield omitted(entryAt, `${n - maxPages} more entries`)
      const problem = n === count ? {} : { problem: `the file has ${count} pages` }
      yield { ...part, meaning: `end of ${n} entries`, ...problem }
      return { end: at }
    }
    if (n < maxPages) yield { ...part, meaning: `page ${pgno} at byte ${offset}, ${size} bytes` }
  }
}

function takeUvarint(read: ReadAt, at: number): { value: number; end: number } {
  const varint = new UvarintReader()
  for (let end = at; ;) {
    const value = varint.read(take(read, end++, 1, 'page index')[0] ?? 0)
    if (value === undefined) continue
    if (Number.isNaN(value)) throw new LTXError('is out of range', { offset: at, field: 'page index' })
    return { value, end }
  }
}

function* fieldsOf(bytes: Uint8Array, base: number, fields: readonly Field[], wrong?: LTXError): Generator<Part> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (const { name, at, sizeBytes, describe } of fields) {
    const problem = wrong?.offset === base + at ? { problem: wrong.message } : {}
    const own = bytes.subarray(at, at + sizeBytes)
    yield { offset: base + at, sizeBytes, bytes: own, field: name, meaning: describe(view, at), ...problem }
  }
}

function problemOf(header: Uint8Array): LTXError | undefined {
  try {
    unmarshalHeader(header)
    return undefined
  } catch (error) {
    if (error instanceof LTXError && error.field !== 'magic') return error
    throw error
  }
}

function omitted(offset: number, what: string): Part {
  return { offset, sizeBytes: 0, bytes: new Uint8Array(0), field: undefined, meaning: `… ${what}` }
}

/** A copy, so that parts stay valid. */
function take(read: ReadAt, offset: number, length: number, field: string): Uint8Array {
  const bytes = read(offset, length)
  if (bytes.length < length) {
    throw new LTXError(`the file ends here: expected ${length} bytes from byte ${offset} on`, {
      offset: offset + bytes.length,
      field,
    })
  }
  return new Uint8Array(bytes)
}
