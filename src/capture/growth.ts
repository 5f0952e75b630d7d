import type { Pgno } from '../ltx/format/types.ts'
import { lockPgno } from '../ltx/format/types.ts'

/**
 * `pgnos` (ascending) with every page between the old size and the new one: a transaction that grows the database carries all of
 * them, or a later merge would have holes or bring stale pages back.
 */
export function missingPages(pgnos: Pgno[], oldSizePages: number, newSizePages: number, pageSize: number): Pgno[] {
  if (newSizePages <= oldSizePages) return pgnos
  const lock = lockPgno(pageSize)
  const kept = pgnos.filter((pgno) => pgno <= oldSizePages)
  for (let pgno = oldSizePages + 1; pgno <= newSizePages; pgno++) if (pgno !== lock) kept.push(pgno)
  return kept
}
