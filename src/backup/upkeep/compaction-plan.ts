/** Plans which files a level is made from. Pure. */

import type { TXID } from '../../ltx/format/types.ts'
import { type BackupFile, type BackupHistory, compareTXID, filesOfLevel } from '../history/history.ts'
import { MAX_COMPACTION_LEVEL } from '../history/layout.ts'

/** Files of one level that become one file of the next: contiguous, in order, and without a marker between them. */
export type CompactionGroup = readonly [BackupFile, ...BackupFile[]]

/** The most files merged at once: bounds memory and open objects. */
export const MAX_COMPACTION_INPUTS = 256

/**
 * The files of `level - 1` that `level` lacks: one group where they join, several where a gap or a marker
 * (history.markers) separates them or where they are too many. Empty when there is nothing to do.
 */
export function planCompaction(
  history: BackupHistory,
  level: number,
  maxInputs: number = MAX_COMPACTION_INPUTS,
): CompactionGroup[] {
  if (!Number.isInteger(level) || level < 1 || level > MAX_COMPACTION_LEVEL) {
    throw new RangeError(`level ${level} cannot be compacted: expected 1 to ${MAX_COMPACTION_LEVEL}`)
  }
  const groups: [BackupFile, ...BackupFile[]][] = []
  let group: [BackupFile, ...BackupFile[]] | undefined
  for (const file of chainAfter(filesOfLevel(history, level - 1), coveredUpTo(history, level))) {
    const previous = group?.at(-1)
    if (group === undefined || previous === undefined || group.length >= maxInputs || !joins(history, previous, file)) {
      group = [file]
      groups.push(group)
    } else {
      group.push(file)
    }
  }
  return groups
}

/** The last transaction of a level; 0 when it is empty. */
export function coveredUpTo(history: BackupHistory, level: number): TXID {
  return filesOfLevel(history, level).reduce<TXID>((max, file) => (file.max > max ? file.max : max), 0n as TXID)
}

/** The fewest files that cover the level from `covered` on: each time the file that joins and reaches furthest. */
function chainAfter(files: readonly BackupFile[], covered: TXID): BackupFile[] {
  const ascending = files.filter((file) => file.max > covered).sort((a, b) => compareTXID(a.min, b.min))
  const chain: BackupFile[] = []
  let current = covered
  for (let i = 0; i < ascending.length;) {
    let best: BackupFile | undefined
    for (let file = ascending[i]; file !== undefined && file.min <= current + 1n; file = ascending[++i]) {
      if (file.max > current && (best === undefined || file.max > best.max)) best = file
    }
    if (best !== undefined) {
      chain.push(best)
      current = best.max
    } else if (ascending[i] !== undefined) {
      // A gap: continue behind it.
      current = ((ascending[i] as BackupFile).min - 1n) as TXID
    }
  }
  return chain
}

function joins(history: BackupHistory, previous: BackupFile, file: BackupFile): boolean {
  if (file.min > previous.max + 1n) return false
  return !history.markers.some(({ txid }) => txid > previous.max && txid <= file.max)
}
