/**
 * Random access: a file's page index, and single pages, from ranges of the file. The ranges are checked for shape only.
 * The file checksum covers the whole file, so it cannot be checked here.
 */
import { LTXError } from '../format/errors.ts'
import {
  type Header,
  HEADER_SIZE,
  isSnapshot,
  PAGE_HAS_SIZE,
  PAGE_HEADER_SIZE,
  TRAILER_SIZE,
} from '../format/header.ts'
import { lastSnapshotPgno, pageOrderProblem } from '../format/page-order.ts'
import type { Pgno } from '../format/types.ts'
import { UvarintReader } from '../format/varint.ts'
import { FRAME_PREFIX_SIZE } from '../kernels/instance.ts'
import { blockBound, decompressInto } from '../kernels/lz4-block.ts'
import { stagedPage } from '../kernels/staging.ts'
import { decompressFrame, frameExtent, maxFrameSize } from './lz4-frame.ts'

/** Bytes behind the page index: its size, and the trailer. */
export const INDEX_TAIL_SIZE = 8 + TRAILER_SIZE

/** An entry has at least one byte for each field. */
const MIN_ENTRY_SIZE = 3

/** The position of a page in a file. */
export interface IndexEntry {
  readonly pgno: Pgno
  /** Where the frame starts in the file. */
  readonly offset: number
  /** Bytes of the whole frame, page header included. */
  readonly sizeBytes: number
}

/** Bytes `start` up to, not including, `end`. */
export interface IndexRange {
  readonly start: number
  readonly end: number
}

/** Locates the page index of a file of that size. `tail` is its last 24 bytes or more. Throws LTXError. */
export function pageIndexRange(tail: Uint8Array, fileSizeBytes: number): IndexRange {
  const end = fileSizeBytes - INDEX_TAIL_SIZE
  const first = HEADER_SIZE + PAGE_HEADER_SIZE
  if (tail.length < INDEX_TAIL_SIZE || end <= first) {
    throw new LTXError('the file ends before its page index does', {
      offset: Math.max(0, end),
      field: 'page index size',
    })
  }
  const view = new DataView(tail.buffer, tail.byteOffset + tail.length - INDEX_TAIL_SIZE)
  const size = view.getBigUint64(0)
  if (size < 1n || size > BigInt(end - first)) {
    throw new LTXError(`${size} bytes are not between 1 and ${end - first}`, { offset: end, field: 'page index size' })
  }
  return { start: end - Number(size), end }
}

/** The positions of all pages of a file. Memory: twelve bytes a page. */
export class PageIndex implements Iterable<IndexEntry> {
  readonly #pgnos: Uint32Array
  /** Where each frame starts, and where the last one ends: there are no gaps between frames. */
  readonly #offsets: Float64Array

  /** @internal */
  constructor(pgnos: Uint32Array, offsets: Float64Array) {
    this.#pgnos = pgnos
    this.#offsets = offsets
  }

  /** Pages in the file. */
  get count(): number {
    return this.#pgnos.length
  }

  /** The page's frame, if the file has one. */
  find(pgno: Pgno): IndexEntry | undefined {
    const pgnos = this.#pgnos
    let low = 0
    let high = pgnos.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (pgnos[middle]! < pgno) low = middle + 1
      else high = middle
    }
    return pgnos[low] === pgno ? this.at(low) : undefined
  }

  /** The n-th frame, from 0. Throws RangeError. */
  at(n: number): IndexEntry {
    const pgno = this.#pgnos[n]
    if (pgno === undefined) throw new RangeError(`the file has ${this.count} pages, no number ${n}`)
    const offset = this.#offsets[n]!
    return { pgno, offset, sizeBytes: this.#offsets[n + 1]! - offset }
  }

  *[Symbol.iterator](): Iterator<IndexEntry> {
    for (let n = 0; n < this.count; n++) yield this.at(n)
  }
}

/** Reads a page index. `bytes` are exactly those of `range`. Throws LTXError. */
export function readPageIndex(bytes: Uint8Array, header: Header, range: IndexRange): PageIndex {
  const invalid = (problem: string, at: number) =>
    new LTXError(problem, { offset: range.start + at, field: 'page index' })
  if (bytes.length !== range.end - range.start) throw invalid(`${bytes.length} bytes are not all of it`, 0)
  const most = Math.min(Math.floor(bytes.length / MIN_ENTRY_SIZE), header.commit)
  const pgnos = new Uint32Array(most)
  const offsets = new Float64Array(most + 1)
  const largest = PAGE_HEADER_SIZE + maxFrameSize(header.pageSize)
  const cursor = new IndexCursor(bytes, invalid)
  let count = 0
  let end = HEADER_SIZE
  for (;;) {
    const at = cursor.at
    const pgno = cursor.read('page number')
    if (pgno === 0) break
    const problem = pageOrderProblem(header, count === 0 ? 0 : pgnos[count - 1]!, pgno)
    if (problem !== undefined) throw invalid(problem, at)
    const offset = cursor.read('offset')
    const size = cursor.read('size')
    if (offset !== end) throw invalid(`page ${pgno} starts at byte ${offset}: expected ${end}`, at)
    if (size <= PAGE_HEADER_SIZE || size > largest) throw invalid(`page ${pgno} can't have ${size} bytes`, at)
    pgnos[count] = pgno
    offsets[count++] = offset
    end += size
  }
  if (cursor.at !== bytes.length) throw invalid('continues after the zero that ends it', cursor.at)
  const last = count === 0 ? 0 : pgnos[count - 1]!
  if (isSnapshot(header) && last !== lastSnapshotPgno(header)) {
    throw invalid(`the snapshot ends with page ${last} of ${header.commit}`, 0)
  }
  if (end + PAGE_HEADER_SIZE !== range.start)
    throw invalid(`its frames end at byte ${end}, not where the page block does`, 0)
  offsets[count] = end
  return new PageIndex(pgnos.slice(0, count), offsets.slice(0, count + 1))
}

/** Decompresses one whole frame that was found through a page index. Returns a copy. Throws LTXError. */
export function readFrame(bytes: Uint8Array, entry: IndexEntry, pageSize: number): Uint8Array {
  const invalid = (problem: string, at: number) => new LTXError(problem, { offset: entry.offset + at, field: 'frame' })
  if (bytes.length !== entry.sizeBytes || bytes.length <= FRAME_PREFIX_SIZE) {
    throw invalid(`${bytes.length} bytes are not a whole frame`, 0)
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (view.getUint32(0) !== entry.pgno) throw invalid(`holds page ${view.getUint32(0)}, not ${entry.pgno}`, 0)
  const flags = view.getUint16(4)
  if (flags === PAGE_HAS_SIZE) {
    const size = view.getUint32(PAGE_HEADER_SIZE)
    if (size !== bytes.length - FRAME_PREFIX_SIZE || size > blockBound(pageSize)) {
      throw invalid(`page data size ${size} is not that of the frame`, PAGE_HEADER_SIZE)
    }
    if (decompressInto(bytes.subarray(FRAME_PREFIX_SIZE), 0, pageSize, 0) !== pageSize) {
      throw invalid(`is not valid LZ4, or does not decompress to ${pageSize} bytes`, FRAME_PREFIX_SIZE)
    }
  } else if (flags === 0) {
    const have = bytes.length - PAGE_HEADER_SIZE
    const window = { bytes, start: PAGE_HEADER_SIZE, have, offset: entry.offset + PAGE_HEADER_SIZE }
    if (frameExtent(window, pageSize) !== have) throw invalid('is not exactly one LZ4 frame', PAGE_HEADER_SIZE)
    decompressFrame(window, pageSize)
  } else {
    throw invalid(`page flags 0x${flags.toString(16)} have bits other than 0x1`, 4)
  }
  return stagedPage(pageSize).slice()
}

/** Reads varints from an index that may end anywhere. */
class IndexCursor {
  at = 0
  readonly #bytes: Uint8Array
  readonly #varint = new UvarintReader()
  readonly #invalid: (problem: string, at: number) => LTXError

  constructor(bytes: Uint8Array, invalid: (problem: string, at: number) => LTXError) {
    this.#bytes = bytes
    this.#invalid = invalid
  }

  read(field: string): number {
    for (;;) {
      const byte = this.#bytes[this.at++]
      if (byte === undefined) throw this.#invalid(`ends within a ${field}`, this.#bytes.length)
      const value = this.#varint.read(byte)
      if (value === undefined) continue
      if (Number.isNaN(value)) throw this.#invalid(`${field} is out of range`, this.at)
      return value
    }
  }
}
