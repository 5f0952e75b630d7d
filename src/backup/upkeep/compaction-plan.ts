/** Plans which files a level is made from. Pure. */

import type { TXID } from '../../ltx/format/types.ts'
import { type BackupFile, type BackupHistory, compareTXID, filesOfLevel } from '../history/history.ts'
import { MAX_COMPACTION_LEVEL, SNAPSHOT_LEVEL } from '../history/layout.ts'

/** Files of one level that become one file of the next: contiguous, in order, and without a marker between them. */
export type CompactionGroup = readonly [BackupFile, ...BackupFile[]]

/** The most files merged at once: bounds memory and open objects. */
export const MAX_COMPACTION_INPUTS = 256
const LARGE_BYTES = 8 * 1024 * 1024

export interface CompactionPlanOptions {
  readonly maxInputs?: number
  /** An empty level begins after this transaction. */
  readonly beginsAfter?: TXID
}

/**
 * The files of `level - 1` that `level` lacks: one group where they join, several where a gap or a marker
 * (history.markers) separates them or where they are too many. Empty when there is nothing to do.
 */
export function planCompaction(
  history: BackupHistory,
  level: number,
  { maxInputs = MAX_COMPACTION_INPUTS, beginsAfter = 0n as TXID }: CompactionPlanOptions = {},
): CompactionGroup[] {
  if (!Number.isInteger(level) || level < 1 || level > MAX_COMPACTION_LEVEL) {
    throw new RangeError(`level ${level} cannot be compacted: expected 1 to ${MAX_COMPACTION_LEVEL}`)
  }
  const groups: [BackupFile, ...BackupFile[]][] = []
  let group: [BackupFile, ...BackupFile[]] | undefined
  const covered = coveredUpTo(history, level)
  for (const file of chainAfter(filesOfLevel(history, level - 1), covered > beginsAfter ? covered : beginsAfter)) {
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

/**
 * Where the levels of a new backup should begin: after its first snapshot, where that stands for few transactions and
 * many bytes, as after an import. Each level would hold all of them once more. 0 where they have begun, or should begin
 * with the first transaction.
 */
export function beginningOf(history: BackupHistory, level1IntervalMs: number): TXID {
  const none = 0n as TXID
  const isCompacted = history.files.some(({ level }) => level >= 1 && level <= MAX_COMPACTION_LEVEL)
  const [first] = filesOfLevel(history, SNAPSHOT_LEVEL).sort((a, b) => compareTXID(a.max, b.max))
  if (isCompacted || first === undefined) return none
  const before = filesOfLevel(history, 0).filter(({ max }) => max <= first.max)
  const sizeBytes = before.reduce((sum, file) => sum + file.sizeBytes, 0)
  const times = before.map(({ storedMs, timestampMs }) => storedMs ?? timestampMs)
  const isShort = Math.max(...times) - Math.min(...times) <= level1IntervalMs
  return sizeBytes >= LARGE_BYTES && isShort ? first.max : none
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
