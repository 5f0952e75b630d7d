import { readRecordFrame, RECORD_FRAME_SIZE } from '../../../src/log/record.ts'
import { anatomy } from '../../../src/ltx/anatomy.ts'
import { hasJournalMagic, JOURNAL_HEADER_SIZE } from '../../../src/sqlite/journal.ts'
import { FRAME_HEADER_SIZE, frameOffset, frameSize, WAL_HEADER_SIZE } from '../../../src/sqlite/wal.ts'

const SECTOR = 512

/**
 * The offsets at which a torn write leaves different kinds of damage: the first, a middle and the last boundary of a
 * sector, and each boundary in the file's structure (header, frame, record, page, and fields that are checked alone).
 * The offsets count bytes from the start of the write, in ascending order, without 0 and the whole length. `pageSize`
 * is in bytes, for writes that do not contain it.
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

/** The header and its checksum; in each frame the header, its salts and checksum, and the page. */
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
 * The fields of a header; in each record the page number, the page and its checksum. SQLite begins no write within one
 * of these.
 */
function journal(data: Uint8Array, pageSize: number | undefined): number[] {
  if (hasJournalMagic(data)) return [8, 12, 16, 20, 24, JOURNAL_HEADER_SIZE]
  if (pageSize === undefined || data.length <= pageSize) return []
  const borders: number[] = []
  for (let at = 0; at < data.length; at += 8 + pageSize) borders.push(at, at + 4, at + 4 + pageSize)
  return borders
}

/** The record's frame, and the parts of its LTX file: the fields of header and trailer, the pages, the page index. */
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

/** The pages, and the database header at the start of the first. */
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
