/**
 * Plans which files and markers to delete. Pure.
 *
 * Promised (I9): the newest state; every file boundary of level 1 and above that is younger than the snapshot
 * retention; and every moment of that time, to the precision of those boundaries. The snapshot that the oldest such
 * moment builds on therefore stays too. That is one more than Litestream retains: it deletes by age alone, and right
 * after a snapshot it can restore nothing older. Every file that Litestream's rules retain is retained here.
 */

import type { TXID } from '../../ltx/format/types.ts'
import {
  type BackupFile,
  type BackupHistory,
  type BackupMarker,
  compareTXID,
  filesOfLevel,
} from '../history/history.ts'
import { MAX_COMPACTION_LEVEL, SNAPSHOT_LEVEL } from '../history/layout.ts'
import type { RetentionPolicy } from '../history/levels.ts'

export interface RetentionPlan {
  /** In the order of deletion: stopping half-way leaves a backup that restores everything promised. */
  readonly files: readonly BackupFile[]
  readonly markers: readonly BackupMarker[]
  /** The snapshot that remains because others before it go: all that is promised builds on it. */
  readonly leansOn: BackupFile | undefined
  /** When there will be more to delete if nothing is added; Infinity when there will not be. */
  readonly nextMs: number
}

/** Nothing leans on the snapshots that are `doubted`. */
export function planRetention(
  history: BackupHistory,
  policy: RetentionPolicy,
  nowMs: number,
  doubted: ReadonlySet<BackupFile> = new Set(),
): RetentionPlan {
  const snapshots = filesOfLevel(history, SNAPSHOT_LEVEL).sort((a, b) => compareTXID(a.max, b.max))
  const firstRetained = firstRetainedSnapshot(snapshots, nowMs - policy.snapshotRetentionMs, doubted)
  const nextSnapshotMs = (snapshots[firstRetained + 1]?.timestampMs ?? Infinity) + policy.snapshotRetentionMs + 1
  // As in Litestream, files of the span before the first retained snapshot stay for a running restore.
  const floor = snapshots[firstRetained - 1]?.max ?? (0n as TXID)
  const levels = []
  for (let level = 1; level <= MAX_COMPACTION_LEVEL; level++)
    levels.push(...expiredFiles(filesOfLevel(history, level), floor))
  const level0 = expiredLevel0(history, floor, policy, nowMs)
  const files = [...snapshots.slice(0, firstRetained), ...levels, ...level0.files]
  const markers = expiredMarkers(history, floor, new Set(files))
  const leansOn = firstRetained > 0 ? snapshots[firstRetained] : undefined
  return { files, markers, leansOn, nextMs: Math.min(nextSnapshotMs, level0.nextMs) }
}

/** A marker stays as long as there are files before it that compaction could merge with later ones. */
function expiredMarkers(history: BackupHistory, floor: TXID, expired: ReadonlySet<BackupFile>): BackupMarker[] {
  const retained = history.files.filter((file) => file.level !== SNAPSHOT_LEVEL && !expired.has(file))
  return history.markers.filter(({ txid }) => txid <= floor && retained.every((file) => file.min >= txid))
}

/** The newest snapshot from before the promised span. All later ones lie in it. */
function firstRetainedSnapshot(
  snapshots: readonly BackupFile[],
  sinceMs: number,
  doubted: ReadonlySet<BackupFile>,
): number {
  return Math.max(
    0,
    snapshots.findLastIndex((snapshot) => snapshot.timestampMs < sinceMs && !doubted.has(snapshot)),
  )
}

/** Files that end before the floor, except a level's newest, which shows compaction how far the level reaches. */
function expiredFiles(files: readonly BackupFile[], floor: TXID): BackupFile[] {
  const ascending = [...files].sort((a, b) => compareTXID(a.max, b.max))
  return ascending.slice(0, -1).filter((file) => file.max < floor)
}

/**
 * From the oldest file up to the first that is still needed, so that the rest has no holes; and until when that one
 * is needed.
 */
function expiredLevel0(
  history: BackupHistory,
  floor: TXID,
  policy: RetentionPolicy,
  nowMs: number,
): { files: BackupFile[]; nextMs: number } {
  const ascending = filesOfLevel(history, 0).sort((a, b) => compareTXID(a.max, b.max))
  const beginning = beginningOfLevels(history)
  const expired: BackupFile[] = []
  for (const file of ascending.slice(0, -1)) {
    if (file.max >= floor) {
      // No level will hold it. It is the second copy of that snapshot.
      if (file.max <= beginning) continue
      const neededUntilMs = coveredAtMs(history, file) + policy.level0RetentionMs
      if (neededUntilMs > nowMs) return { files: expired, nextMs: neededUntilMs }
    }
    expired.push(file)
  }
  return { files: expired, nextMs: Infinity }
}

/**
 * The last transaction before the levels, where they begin within or after the first snapshot, as they do in a new
 * backup that is large: with the file of level 0 that goes beyond that snapshot. Else 0.
 */
function beginningOfLevels(history: BackupHistory): TXID {
  const [first] = filesOfLevel(history, SNAPSHOT_LEVEL).sort((a, b) => compareTXID(a.max, b.max))
  const levels = history.files.filter(({ level }) => level >= 1 && level <= MAX_COMPACTION_LEVEL)
  const begin = levels.reduce<TXID | undefined>(
    (min, file) => (min === undefined || file.min < min ? file.min : min),
    undefined,
  )
  return first !== undefined && begin !== undefined && begin <= first.max + 1n ? ((begin - 1n) as TXID) : (0n as TXID)
}

/**
 * When a compacted file replaced this one, but not before the time of its last transaction; Infinity where none has.
 */
function coveredAtMs(history: BackupHistory, file: BackupFile): number {
  const covering = history.files.filter(
    ({ level, min, max, sizeBytes }) =>
      level >= 1 && level <= MAX_COMPACTION_LEVEL && min <= file.min && max >= file.max && sizeBytes > 0,
  )
  return Math.max(file.timestampMs, Math.min(...covering.map(({ timestampMs }) => timestampMs)))
}
