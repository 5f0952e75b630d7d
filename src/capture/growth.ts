import type { Pgno } from '../ltx/format/types.ts'
import { lockPgno } from '../ltx/format/types.ts'

/**
 * Adds to `pgnos` (ascending) every page between the old size and the new one. A transaction that grows the database
 * must carry all of them: without them a later merge would have holes or bring back stale pages.
 */
export function missingPages(pgnos: Pgno[], oldSizePages: number, newSizePages: number, pageSize: number): Pgno[] {
  if (newSizePages <= oldSizePages) return pgnos
  const lock = lockPgno(pageSize)
  const grown = pgnos.filter((pgno) => pgno <= oldSizePages)
  for (let pgno = oldSizePages + 1; pgno <= newSizePages; pgno++) if (pgno !== lock) grown.push(pgno)
  return grown
}
