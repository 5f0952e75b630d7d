/**
 * Whether a merge is worth its put. Pure. Where requests cost, a level would otherwise double the price of few commits.
 */

import type { BackupFile } from '../history/history.ts'
import type { BackupSchedule } from '../history/levels.ts'

/**
 * * now: merge.
 * * later: not before there are more files, or they are older.
 * * with-more: not before there are more files.
 */
export type Worth = 'now' | 'later' | 'with-more'

/**
 * A merge costs a put, so it should replace about as many as its level's interval usually brings. Where fewer are there
 * at the boundary, they wait for more: for the next level's interval at most. So the share of merges among all puts is
 * bounded, and so is the time between two restorable points.
 */
export function worthOf(
  sources: readonly BackupFile[],
  level: number,
  { levels, syncIntervalMs, snapshotIntervalMs }: BackupSchedule,
  nowMs: number,
): Worth {
  const [first] = sources
  if (first === undefined || sources.length < 2) return 'with-more'
  const intervalOf = (of: number) => levels.find((other) => other.level === of)?.intervalMs
  const intervalMs = intervalOf(level) ?? syncIntervalMs
  const usual = intervalMs / (intervalOf(level - 1) ?? syncIntervalMs)
  if (sources.length >= usual) return 'now'
  const ageMs = nowMs - (first.storedMs ?? first.timestampMs)
  if (ageMs >= (intervalOf(level + 1) ?? snapshotIntervalMs)) return 'now'
  const isDense = sources.length >= MOST_OF * usual && ageMs <= ONE_INTERVAL * intervalMs
  return isDense ? 'now' : 'later'
}

/** An upload takes time, so that some fewer fit into an interval than there are sync intervals. */
const MOST_OF = 2 / 3
/** Boundaries are not exact. */
const ONE_INTERVAL = 1.5
