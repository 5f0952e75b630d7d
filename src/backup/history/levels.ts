/** When each level is due, and with what defaults. Litestream's (compaction_level.go, store.go at v0.5.18). */

export interface CompactionLevel {
  /** 1 … 8: made of the level below. */
  readonly level: number
  readonly intervalMs: number
}

export interface BackupSchedule {
  /** How often new transactions are looked for and shipped. */
  readonly syncIntervalMs: number
  /** Ascending by level, from 1, without holes. */
  readonly levels: readonly CompactionLevel[]
  readonly snapshotIntervalMs: number
  readonly retention: RetentionPolicy
  readonly retentionCheckIntervalMs: number
}

export interface RetentionPolicy {
  /** Every moment so long ago, and since, stays restorable (to the files of level 1 and above). */
  readonly snapshotRetentionMs: number
  /** How long files of level 0 outlive their compaction into level 1. */
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
}

/** The boundary at or before a moment: the clock truncated to the interval, counted from the zero time of Go. */
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
