/** Which pages a file may hold, and in which order: the same rules for writing and for reading. */
import { type Header, isSnapshot } from './header.ts'
import { lockPgno, type Pgno } from './types.ts'

/** Why `pgno` must not follow `prevPgno` (0: be the first page). Undefined if it may. */
export function pageOrderProblem(header: Header, prevPgno: Pgno, pgno: Pgno): string | undefined {
  if (!Number.isInteger(pgno) || pgno < 1) return `${pgno} is not a page number`
  if (pgno > header.commit) return `page ${pgno} lies beyond the commit size of ${header.commit} pages`
  const lock = lockPgno(header.pageSize)
  if (pgno === lock) return `page ${pgno} is the lock page, which is never written`
  if (!isSnapshot(header)) return pgno > prevPgno ? undefined : `page ${pgno} follows page ${prevPgno}`
  const expected = prevPgno + 1 === lock ? lock + 1 : prevPgno + 1
  return pgno === expected ? undefined : `page ${pgno} stands where a snapshot has page ${expected}`
}

/** The last page of a snapshot. 0 if it has no pages. */
export function lastSnapshotPgno(header: Header): Pgno {
  return header.commit === lockPgno(header.pageSize) ? header.commit - 1 : header.commit
}
