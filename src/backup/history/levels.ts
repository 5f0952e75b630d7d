/** When each level is due. The defaults are Litestream's (compaction_level.go, store.go at v0.5.18). */

export interface CompactionLevel {
  /** 1 to 8. Made from the level below. */
  readonly level: number
  readonly intervalMs: number
}

export interface BackupSchedule {
  /** How often new transactions are shipped. */
  readonly syncIntervalMs: number
  /** Ascending by level, from 1, without holes. */
  readonly levels: readonly CompactionLevel[]
  readonly snapshotIntervalMs: number
  readonly retention: RetentionPolicy
  readonly retentionCheckIntervalMs: number
  /** At least so often the node that ships looks whether the newest state can be restored from what is listed. */
  readonly verifyIntervalMs: number
}

export interface RetentionPolicy {
  /** Every moment since this long ago can be restored, to a file boundary of level 1 or above. */
  readonly snapshotRetentionMs: number
  /** How long level-0 files outlive their compaction into level 1. */
  readonly level0RetentionMs: number
}

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

export const DEFAULT_SCHEDULE: BackupSchedule = {
  syncIntervalMs: SECOND,
  levels: [
    { level: 1, intervalMs: 30 * SECOND },
    { level: 2, intervalMs: 5 * MINUTE },
    { level: 3, intervalMs: HOUR },
  ],
  snapshotIntervalMs: 24 * HOUR,
  retention: { snapshotRetentionMs: 24 * HOUR, level0RetentionMs: 5 * MINUTE },
  retentionCheckIntervalMs: 15 * SECOND,
  verifyIntervalMs: 24 * HOUR,
}

/** The boundary at or before a moment: the time truncated to the interval, counted from Go's zero time. */
export function boundaryAt(nowMs: number, intervalMs: number): number {
  return nowMs - modulo(nowMs + ZERO_TIME_OFFSET_MS, intervalMs)
}

/** The first boundary after a moment. */
export function nextBoundary(nowMs: number, intervalMs: number): number {
  return boundaryAt(nowMs, intervalMs) + intervalMs
}

/** Go's Time.Truncate counts from 1 January of the year 1, which matters for intervals that do not divide a day. */
const ZERO_TIME_OFFSET_MS = 62_135_596_800_000

function modulo(value: number, by: number): number {
  return ((value % by) + by) % by
}
