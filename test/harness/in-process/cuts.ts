import { readRecordFrame, RECORD_FRAME_SIZE } from '../../../src/log/record.ts'
import { anatomy } from '../../../src/ltx/anatomy.ts'
import { hasJournalMagic, JOURNAL_HEADER_SIZE } from '../../../src/sqlite/journal.ts'
import { FRAME_HEADER_SIZE, frameOffset, frameSize, WAL_HEADER_SIZE } from '../../../src/sqlite/wal.ts'

const SECTOR = 512

/**
 * Where a write may be torn so that what is left differs in kind: the first, a middle and the last border of a sector,
 * and each border of what the file is made of (header, frame, record, page; fields that are checked on their own).
 * Bytes from the write's beginning, ascending, none of them 0 or all. `pageSize` in bytes, where the write itself does
 * not tell it.
 */
export function cuts(path: string, position: number, data: Uint8Array, pageSize?: number): number[] {
  const borders = [...sectors(position, data.length), ...structure(path, position, data, pageSize)]
  return Array.from(new Set(borders))
    .filter((at) => at > 0 && at < data.length)
    .sort((a, b) => a - b)
}

function sectors(position: number, length: number): number[] {
  const first = SECTOR - (position % SECTOR)
  const last = length - ((position + length) % SECTOR || SECTOR)
  if (first > last) return []
  return [first, first + Math.floor((last - first) / SECTOR / 2) * SECTOR, last]
}

function structure(path: string, position: number, data: Uint8Array, pageSize: number | undefined): number[] {
  if (path.endsWith('-wal')) return wal(position, data, pageSize)
  if (path.endsWith('-journal')) return journal(data, pageSize)
  if (path.endsWith('.ltxlog')) return record(data)
  if (path.endsWith('pages.bin.tmp')) return [8, 16, 24, 32, 40]
  if (path.endsWith('.json.tmp')) return []
  return database(position, data, pageSize)
}

/** Header with its checksum; of each frame the header, with salts and checksum, and the page. */
function wal(position: number, data: Uint8Array, known: number | undefined): number[] {
  const end = position + data.length
  const borders = position === 0 ? [24, WAL_HEADER_SIZE] : []
  const pageSize = position === 0 && data.length >= 12 ? view(data).getUint32(8) : known
  if (pageSize === undefined || pageSize === 0) return borders
  const first = Math.max(0, Math.floor((position - WAL_HEADER_SIZE) / frameSize(pageSize)))
  for (let at = frameOffset(first, pageSize); at < end; at += frameSize(pageSize)) {
    for (const field of [0, 8, 16, FRAME_HEADER_SIZE]) borders.push(at + field - position)
  }
  return borders
}

/**
 * A header's fields; of each record the page's number, the page and its checksum. SQLite begins no write within one of
 * those.
 */
function journal(data: Uint8Array, pageSize: number | undefined): number[] {
  if (hasJournalMagic(data)) return [8, 12, 16, 20, 24, JOURNAL_HEADER_SIZE]
  if (pageSize === undefined || data.length <= pageSize) return []
  const borders: number[] = []
  for (let at = 0; at < data.length; at += 8 + pageSize) borders.push(at, at + 4, at + 4 + pageSize)
  return borders
}

/** The record's frame, and each part of the LTX file in it: header and trailer by field, pages, the page index. */
function record(data: Uint8Array): number[] {
  const sizeBytes = readRecordFrame(data)
  if (sizeBytes === undefined) return [RECORD_FRAME_SIZE]
  const file = data.subarray(RECORD_FRAME_SIZE)
  const parts = anatomy((offset, length) => file.subarray(offset, offset + length), sizeBytes, {
    maxPages: Infinity,
    maxDataBytes: 0,
  })
  return Array.from(parts, ({ offset }) => RECORD_FRAME_SIZE + offset)
}

/** Pages, and the database header at the beginning of the first. */
function database(position: number, data: Uint8Array, known: number | undefined): number[] {
  const borders = position < 100 ? [100 - position] : []
  const told = position === 0 && data.length >= 18 ? view(data).getUint16(16) : 0
  const pageSize = told === 1 ? 65536 : told || known
  if (pageSize === undefined) return borders
  for (let at = pageSize - (position % pageSize); at < data.length; at += pageSize) borders.push(at)
  return borders
}

function view(data: Uint8Array): DataView {
  return new DataView(data.buffer, data.byteOffset, data.byteLength)
}
