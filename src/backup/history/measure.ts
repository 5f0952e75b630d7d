/** What a listing says of a backup: whether its newest state can be restored, and since when others can. Pure. */

import { HEADER_SIZE, TRAILER_SIZE } from '../../ltx/format/header.ts'
import type { TXID } from '../../ltx/format/types.ts'
import type { ObjectInfo, ObjectStore } from '../../objectstore/objectstore.ts'
import { BackupEndMissingError, BackupGapError, DatabaseDroppedError, TargetUnavailableError } from './errors.ts'
import type { BackupHistory } from './history.ts'
import { NEWEST, planRestore } from './plan.ts'
import { restorableEnds } from './restorable-ends.ts'

/** No LTX file is shorter. */
const MIN_FILE_BYTES = HEADER_SIZE + TRAILER_SIZE
/** An object that is stored so much later than this node stored it is another one. */
const REPLACED_AFTER_MS = 120_000
/** Of the times of files: on FAT, through SFTP, on exFAT. Elsewhere they pass through seconds as a double. */
const TIME_PRECISIONS_MS = [2000, 1000, 10]

/**
 * Why the newest state cannot be restored from what is listed. `shipped` is a transaction that was in the backup before
 * it was listed. undefined when the newest state can be restored, and for a dropped database.
 */
export function newestProblem(history: BackupHistory, shipped: TXID = 0n as TXID): Error | undefined {
  const { database, files } = history
  if (files.length === 0 && shipped === 0n) return undefined
  try {
    const plan = planRestore(history, NEWEST)
    const { max: reached } = plan.at(-1) ?? plan[0]
    return reached < shipped ? new BackupEndMissingError(database, reached, shipped) : undefined
  } catch (error) {
    if (error instanceof DatabaseDroppedError && error.droppedAt >= shipped) return undefined
    if (error instanceof DatabaseDroppedError || files.length === 0) {
      return new BackupEndMissingError(database, 0n as TXID, shipped)
    }
    if (error instanceof BackupGapError || error instanceof TargetUnavailableError) return error
    throw error
  }
}

/** The time of the oldest state that can be restored; undefined when none can. In a bucket it is that of the upload. */
export function restorableSinceMs(history: BackupHistory): number | undefined {
  const ends = restorableEnds(history)
  let oldest: { readonly max: TXID; readonly timestampMs: number } | undefined
  for (const file of history.files) {
    if (!ends.has(file.max)) continue
    const isOlder = oldest === undefined || file.max < oldest.max
    if (isOlder || (file.max === oldest?.max && file.timestampMs < oldest.timestampMs)) oldest = file
  }
  return oldest?.timestampMs
}

/** To which multiple of milliseconds a directory's disk keeps the times of files, as far as a listing shows it. */
export function timePrecisionMs(listed: readonly ObjectInfo[]): number {
  return TIME_PRECISIONS_MS.find((ms) => listed.every(({ lastModifiedMs }) => lastModifiedMs % ms === 0)) ?? 1
}

/**
 * Whether an object is another one than it was when this node put it or last listed it, or can be none. Without an ETag
 * on both sides the times decide: in a directory that of the last transaction, in a bucket that of the upload, which
 * this node knows only about.
 */
export function isReplaced(
  layout: ObjectStore['layout'],
  was: ObjectInfo | undefined,
  is: ObjectInfo,
  precisionMs = 1,
): boolean {
  if (is.sizeBytes < MIN_FILE_BYTES) return true
  if (was === undefined) return false
  if (was.sizeBytes !== is.sizeBytes) return true
  if (was.etag !== undefined && is.etag !== undefined) return was.etag !== is.etag
  const apartMs = Math.abs(was.lastModifiedMs - is.lastModifiedMs)
  if (layout === 'directory') return precisionMs === 1 ? apartMs > 1 : apartMs >= precisionMs
  return is.storedMs >= was.storedMs + REPLACED_AFTER_MS
}
