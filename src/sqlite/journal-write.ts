/** Writing a rollback journal that any SQLite can roll back. Source: fileformat2.html section 3, and pager.c. */

import type { Pgno } from '../ltx/format/types.ts'
import { JOURNAL_HEADER_SIZE, JOURNAL_MAGIC, recordChecksum } from './journal.ts'

/** A segment's header is padded to this size, as SQLite does where a torn write damages no neighbouring bytes. */
const JOURNAL_SECTOR_SIZE = 512

export interface JournalSegment {
  readonly pageSize: number
  /** The database's size in pages before the transaction. */
  readonly initialSizePages: number
  /** Random, so that records left from an older journal are invalid. */
  readonly nonce: number
}

/** Offset of the record count in a segment's header. The count is 0 until the records are durable. */
export const JOURNAL_COUNT_AT = 8

/** The segment's header, with a record count of 0, and the old content of the pages. */
export function marshalJournalSegment(
  segment: JournalSegment,
  pages: readonly { readonly pgno: Pgno; readonly page: Uint8Array }[],
): Uint8Array {
  const recordSize = segment.pageSize + 8
  const bytes = new Uint8Array(JOURNAL_SECTOR_SIZE + pages.length * recordSize)
  const view = new DataView(bytes.buffer)
  bytes.set(JOURNAL_MAGIC, 0)
  view.setUint32(12, segment.nonce)
  view.setUint32(16, segment.initialSizePages)
  view.setUint32(20, JOURNAL_SECTOR_SIZE)
  view.setUint32(JOURNAL_HEADER_SIZE - 4, segment.pageSize)
  let at = JOURNAL_SECTOR_SIZE
  for (const { pgno, page } of pages) {
    view.setUint32(at, pgno)
    bytes.set(page, at + 4)
    view.setUint32(at + recordSize - 4, recordChecksum(page, segment.nonce))
    at += recordSize
  }
  return bytes
}

/** The offset of the segment that follows a segment ending at `end`. */
export function nextJournalSegment(end: number): number {
  return Math.ceil(end / JOURNAL_SECTOR_SIZE) * JOURNAL_SECTOR_SIZE
}
