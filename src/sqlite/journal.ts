/** The rollback journal's format. Source: https://sqlite.org/fileformat2.html section 3, and pager.c. */

import { PageList } from './page-list.ts'

export const JOURNAL_HEADER_SIZE = 28
export const JOURNAL_MAGIC = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7] as const
export const JOURNAL_MAGIC_SIZE = JOURNAL_MAGIC.length
/** A record count that means "as many as the file holds". SQLite writes it when it never syncs the journal. */
const COUNT_FROM_FILE_SIZE = 0xffffffff
const MAX_SUPER_NAME = 4096

export interface JournalRecord {
  readonly pgno: number
  /** Offset of the page's old content in the journal. */
  readonly dataOffset: number
}

/** In the order of the journal: twelve bytes a record. */
export class JournalRecords implements Iterable<JournalRecord> {
  #pgnos = new Uint32Array(64)
  #dataOffsets = new Float64Array(64)
  length = 0

  push(pgno: number, dataOffset: number): void {
    if (this.length === this.#pgnos.length) this.#grow()
    this.#pgnos[this.length] = pgno
    this.#dataOffsets[this.length++] = dataOffset
  }

  *[Symbol.iterator](): Generator<JournalRecord> {
    for (let i = 0; i < this.length; i++) {
      yield { pgno: this.#pgnos[i] as number, dataOffset: this.#dataOffsets[i] as number }
    }
  }

  /** Of these records. */
  pages(): PageList {
    const pages = new PageList()
    for (const pgno of this.#pgnos.subarray(0, this.length)) pages.add(pgno)
    return pages
  }

  #grow(): void {
    const pgnos = new Uint32Array(2 * this.length)
    const dataOffsets = new Float64Array(2 * this.length)
    pgnos.set(this.#pgnos)
    dataOffsets.set(this.#dataOffsets)
    this.#pgnos = pgnos
    this.#dataOffsets = dataOffsets
  }
}

/** The pages that a hot journal restores. */
export interface Journal {
  readonly pageSize: number
  /** The database's size in pages before the transaction. */
  readonly initialSizePages: number
  readonly records: JournalRecords
  /** Name of the super-journal that decides the outcome, if the transaction spans several databases. */
  readonly superJournal: string | undefined
}

/** Reads exactly `length` bytes at `position`, or fewer at the end of the file. */
export type ReadAt = (position: number, length: number) => Uint8Array

export function hasJournalMagic(bytes: Uint8Array): boolean {
  return bytes.length >= JOURNAL_MAGIC.length && JOURNAL_MAGIC.every((byte, i) => bytes[i] === byte)
}

/** The page size that a journal's first header tells; undefined if it is not valid. */
export function journalPageSize(read: ReadAt): number | undefined {
  return readSegmentHeader(read, 0)?.pageSize || undefined
}

/**
 * Parses a journal as SQLite's recovery does: segment by segment, up to the first torn header or record. Returns
 * undefined when the first header is invalid, as in a finished or empty journal.
 */
export function parseJournal(read: ReadAt, sizeBytes: number): Journal | undefined {
  const first = readSegmentHeader(read, 0)
  if (first === undefined || first.pageSize === 0) return undefined
  const { pageSize, sectorSize } = first
  const recordSize = 8 + pageSize
  const records = new JournalRecords()
  let at = 0
  for (let header = first as SegmentHeader | undefined; header !== undefined; header = readSegmentHeader(read, at)) {
    const start = at + sectorSize
    const room = Math.max(0, Math.floor((sizeBytes - start) / recordSize))
    const count = header.count === COUNT_FROM_FILE_SIZE ? room : Math.min(header.count, room)
    if (!readRecords(read, start, count, pageSize, header.nonce, records)) break
    if (header.count === COUNT_FROM_FILE_SIZE || count < header.count) break
    at = roundUp(start + count * recordSize, sectorSize)
    if (at + JOURNAL_HEADER_SIZE > sizeBytes) break
  }
  return { pageSize, initialSizePages: first.initialSizePages, records, superJournal: readSuperName(read, sizeBytes) }
}

interface SegmentHeader {
  readonly count: number
  readonly nonce: number
  readonly initialSizePages: number
  readonly sectorSize: number
  readonly pageSize: number
}

function readSegmentHeader(read: ReadAt, at: number): SegmentHeader | undefined {
  const bytes = read(at, JOURNAL_HEADER_SIZE)
  if (bytes.length < JOURNAL_HEADER_SIZE || !hasJournalMagic(bytes)) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const sectorSize = view.getUint32(20)
  const pageSize = view.getUint32(24)
  const sane = isPowerOfTwo(sectorSize, 32, 65536) && isPowerOfTwo(pageSize, 512, 65536)
  if (at === 0 && !sane) return undefined
  return {
    count: view.getUint32(8),
    nonce: view.getUint32(12),
    initialSizePages: view.getUint32(16),
    sectorSize,
    pageSize,
  }
}

/** Returns false at a torn record, which ends the journal. */
function readRecords(
  read: ReadAt,
  start: number,
  count: number,
  pageSize: number,
  nonce: number,
  into: JournalRecords,
): boolean {
  for (let i = 0; i < count; i++) {
    const at = start + i * (8 + pageSize)
    const bytes = read(at, 8 + pageSize)
    if (bytes.length < 8 + pageSize) return false
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const pgno = view.getUint32(0)
    const page = bytes.subarray(4, 4 + pageSize)
    if (pgno === 0 || view.getUint32(4 + pageSize) !== recordChecksum(page, nonce)) return false
    into.push(pgno, at + 4)
  }
  return true
}

/** Every 200th byte from the end, added to the header's nonce. */
export function recordChecksum(page: Uint8Array, nonce: number): number {
  let sum = nonce
  for (let at = page.length - 200; at > 0; at -= 200) sum = (sum + (page[at] ?? 0)) >>> 0
  return sum
}

/** The super-journal that a journal names at its end: the name, its length, the sum of its bytes, the magic. */
export function readSuperName(read: ReadAt, sizeBytes: number): string | undefined {
  if (sizeBytes < 16) return undefined
  const tail = read(sizeBytes - 16, 16)
  if (tail.length < 16 || !hasJournalMagic(tail.subarray(8))) return undefined
  const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength)
  const length = view.getUint32(0)
  if (length === 0 || length > MAX_SUPER_NAME || length > sizeBytes - 16) return undefined
  const name = read(sizeBytes - 16 - length, length)
  const sum = name.reduce((total, byte) => (total + ((byte << 24) >> 24)) >>> 0, 0)
  if (sum !== view.getUint32(4)) return undefined
  const text = Buffer.from(name).toString('utf8')
  return text.includes('\0') ? text.slice(0, text.indexOf('\0')) : text
}

function isPowerOfTwo(value: number, min: number, max: number): boolean {
  return value >= min && value <= max && (value & (value - 1)) === 0
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step
}
