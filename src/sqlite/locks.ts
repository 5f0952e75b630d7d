/** The bytes that SQLite's unix VFS locks. Source: os_unix.c, wal.c, and sqlite.org/fileformat2.html section 4.5. */

import type { Pgno } from '../ltx/format/types.ts'

/** Of the database file. */
export const DATABASE_LOCK = {
  pending: 0x40000000,
  reserved: 0x40000001,
  shared: 0x40000002,
  sharedLength: 510,
} as const

/** Of the wal-index. */
export const WAL_INDEX_LOCK = {
  write: 120,
  checkpoint: 121,
  recover: 122,
  /** The lock of read mark 0; those of the other four follow. */
  read: 123,
  /** Every connection that has the wal-index open holds it shared. */
  deadManSwitch: 128,
} as const

/** How many pages of a database of `sizePages` a transaction can hold: all but the lock page. */
export function pagesOf(sizePages: number, lockPage: Pgno): number {
  return sizePages < lockPage ? sizePages : sizePages - 1
}
