import type { Pgno } from '../ltx/format/types.ts'
import { lockPgno } from '../ltx/format/types.ts'
import type { Pgnos } from '../sqlite/page-list.ts'
import type { CapturedDatabase } from './captured-database.ts'
import { assertMemory } from './memory.ts'
import { rejectGrowth } from './rejection.ts'

/**
 * Adds to `pgnos` (ascending) every page between the old size and the new one. A transaction that grows the database
 * must carry all of them: without them a later merge would have holes or bring back stale pages.
 */
export function missingPages(pgnos: Pgnos, oldSizePages: number, newSizePages: number, pageSize: number): Pgnos {
  if (newSizePages <= oldSizePages) return pgnos
  const lock = lockPgno(pageSize)
  const grown = new Uint32Array(pgnos.length + newSizePages - oldSizePages)
  let count = 0
  for (let i = 0; i < pgnos.length && (pgnos[i] as Pgno) <= oldSizePages; i++) grown[count++] = pgnos[i] as Pgno
  for (let pgno = oldSizePages + 1; pgno <= newSizePages; pgno++) if (pgno !== lock) grown[count++] = pgno
  return grown.subarray(0, count)
}

/** Of four bytes each: as many pages as one trunk page of SQLite's free-list can name, and two more. */
const TRUNK_ENTRY_SIZE = 4

/** Pages that a transaction adds and does not write have been in its cache. No cache is larger than that. */
const MAX_UNWRITTEN_PAGES = 1 << 20
const MAX_UNWRITTEN_BYTES = 2 ** 32

/**
 * Whether SQLite can have grown a database so far by a transaction that writes `written` pages: each new page is
 * written itself, or stands in a trunk page that is; the lock page is neither. What grows further is damaged, or
 * forged, and nobody makes a list of the pages that it claims (I10).
 */
export function isExplainedGrowth(
  written: number,
  oldSizePages: number,
  newSizePages: number,
  pageSize: number,
): boolean {
  const named = written * (pageSize / TRUNK_ENTRY_SIZE - 1)
  const unwritten = Math.min(named, MAX_UNWRITTEN_PAGES, MAX_UNWRITTEN_BYTES / pageSize)
  return newSizePages - oldSizePages <= written + unwritten + 1
}

/** Sizes up to this many pages beyond the last are explained by the length of the file. */
const MAX_CHUNK_PAGES = 1 << 20

/**
 * Throws FsError if a commit, in the WAL or at the end of a journal, claims more pages than the `written` ones explain,
 * or more than there is memory for (I10). Where the WAL begins, SQLite takes the length of the file for the size of its
 * database. A file that grows in chunks is longer.
 */
export function assertGrowth(database: CapturedDatabase, written: number, commit: number): void {
  const { pages, pageSize, events, name } = database
  if (!isExplainedGrowth(written, pages.sizePages, commit, pageSize)) {
    const filePages = database.fileState()?.filePages ?? 0
    if (commit > filePages || filePages - pages.sizePages > MAX_CHUNK_PAGES) throw rejectGrowth(events, name, commit)
  }
  assertMemory(database, commit, written)
}

/** The database's size as its file says, unless neither the file's length nor the last commit explains that. */
export function sizeOfFile(database: CapturedDatabase): number {
  const state = database.fileState()
  const { sizePages } = database.pages
  if (state === undefined || state.sizePages > Math.max(sizePages, state.filePages) + 1) return sizePages
  return state.sizePages
}
