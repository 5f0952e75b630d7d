/** Which points retention must leave restorable, computed independently of its plan. Pure. */

import assert from 'node:assert/strict'
import { formatTXID, type TXID } from '../../ltx/format/types.ts'
import type { BackupFile, BackupHistory } from '../history/history.ts'
import type { RetentionPolicy } from '../history/levels.ts'
import { restorableEnds } from '../history/restorable-ends.ts'

/**
 * I9: called right before objects are deleted. `after` is `before` without these objects. Asserts that every promised
 * point that could be restored before can be restored after.
 */
export function assertPromisesKept(
  before: BackupHistory,
  after: BackupHistory,
  policy: RetentionPolicy,
  nowMs: number,
): void {
  const wasThere = restorableEnds(before)
  const isThere = restorableEnds(after)
  for (const txid of promisedEnds(before, wasThere, nowMs - policy.snapshotRetentionMs)) {
    const point = `${before.database} as of transaction ${formatTXID(txid)}`
    assert.ok(isThere.has(txid), `I9: retention would delete what a restore of ${point} needs`)
  }
}

/** The newest state, each end of a level above 0 since then, and the one that was the newest at that moment. */
function* promisedEnds({ files }: BackupHistory, restorable: ReadonlySet<TXID>, sinceMs: number): Generator<TXID> {
  let newest: TXID | undefined
  let atBegin: BackupFile | undefined
  for (const file of files) {
    if (!restorable.has(file.max)) continue
    if (newest === undefined || file.max > newest) newest = file.max
    if (file.level === 0) continue
    if (file.timestampMs >= sinceMs) yield file.max
    else if (atBegin === undefined || file.max > atBegin.max) atBegin = file
  }
  if (newest !== undefined) yield newest
  if (atBegin !== undefined) yield atBegin.max
}
