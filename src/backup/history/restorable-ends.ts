/** At which transactions a restore can end. Pure. */

import type { TXID } from '../../ltx/format/types.ts'
import { type BackupHistory, compareTXID } from './history.ts'
import { SNAPSHOT_LEVEL } from './layout.ts'

/**
 * Every transaction at which a restore can end: one pass over the files, sorted by their last transaction. A restore
 * begins with the newest snapshot before its target, or with an empty database if there is none.
 */
export function restorableEnds({ files, markers }: BackupHistory): ReadonlySet<TXID> {
  const resets = markers.filter(({ kind }) => kind === 'reset').map(({ txid }) => txid)
  const ends = new Set<TXID>()
  let reached = 0n
  const byEnd = [...files].sort((a, b) => compareTXID(a.max, b.max) || b.level - a.level)
  for (const { level, min, max } of byEnd) {
    const crosses = min > 1n && resets.some((txid) => reached < txid && max >= txid)
    const begins = level === SNAPSHOT_LEVEL && min === 1n
    const joins = level !== SNAPSHOT_LEVEL && min <= reached + 1n && max > reached && !crosses
    if (begins || joins) reached = max
    if (begins || joins || max === reached) ends.add(max)
  }
  return ends
}
