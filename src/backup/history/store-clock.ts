/** The machine's clock beside the store's. A clock that is wrong must not decide what is old. */

import type { ObjectStore } from '../../objectstore/objectstore.ts'
import type { BackupLogger } from '../../util/clock.ts'
import { isoTime } from '../../util/time.ts'
import { ClockSkewError } from './errors.ts'

/** How far apart the two may be. More is no delay of an answer. */
export const MAX_SKEW_MS = 60_000

/**
 * The time by which objects are deleted: the earlier of the two clocks. Throws ClockSkewError where they are more than
 * MAX_SKEW_MS apart.
 */
export async function agreedTime(store: ObjectStore, nowMs: number, signal?: AbortSignal): Promise<number> {
  const storeMs = await store.clockMs(signal)
  if (storeMs === undefined) return nowMs
  if (Math.abs(storeMs - nowMs) > MAX_SKEW_MS) throw new ClockSkewError(store.url, nowMs, storeMs)
  return Math.min(storeMs, nowMs)
}

/** The time by which the age of an object is judged where too young is safe: the earlier of the two clocks. */
export async function earlierTime(store: ObjectStore, nowMs: number, signal?: AbortSignal): Promise<number> {
  return Math.min(nowMs, (await store.clockMs(signal)) ?? nowMs)
}

/** Times in a backup never go back: until this clock has caught up, all transactions carry the last one. */
export function warnOfBackupAhead(logger: BackupLogger, database: string, lastMs: number, nowMs: number): void {
  if (lastMs <= nowMs + MAX_SKEW_MS) return
  logger.warn(
    { database, backup: isoTime(lastMs), clock: isoTime(nowMs) },
    "the backup's last transaction is later than this machine's clock, so a clock is wrong: " +
      'until this one has caught up, a restore to a moment can find only an older state',
  )
}
