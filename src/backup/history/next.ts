/** Plans how a database at some position catches up with its backup. Pure. */

import { formatTXID, type TXID } from '../../ltx/format/types.ts'
import { BackupGapError, DatabaseDroppedError } from './errors.ts'
import { type BackupFile, type BackupHistory, compareTXID, filesOfLevel } from './history.ts'
import { SNAPSHOT_LEVEL } from './layout.ts'
import { NEWEST, planRestore, without } from './plan.ts'

/**
 * `apply`: apply these files, in this order. `replace`: no files continue from the position; only a restore catches
 * up. `dropped`: the database was dropped.
 */
export type Next =
  | { readonly kind: 'current' }
  | { readonly kind: 'apply'; readonly files: readonly BackupFile[] }
  | { readonly kind: 'replace'; readonly reason: string }
  | { readonly kind: 'dropped'; readonly txid: TXID }

/** Decides from keys and markers alone, with the restore planner: the local state counts as a snapshot at `at`. */
export function planNext(history: BackupHistory, at: TXID): Next {
  const reset = history.markers.find(({ kind, txid }) => kind === 'reset' && txid > at)
  const snapshot = filesOfLevel(history, SNAPSHOT_LEVEL).reduce((max, file) => (file.max > max ? file.max : max), 0n)
  if (reset !== undefined && snapshot >= reset.txid) {
    const reason = `with transaction ${formatTXID(reset.txid)} the database was created again, or its page size changed`
    return { kind: 'replace', reason }
  }
  const have: BackupFile = { level: SNAPSHOT_LEVEL, min: 1n as TXID, max: at, key: '', sizeBytes: 0, timestampMs: 0 }
  const rest = history.files.filter((file) => file.level !== SNAPSHOT_LEVEL && file.max > at)
  try {
    const [, ...files] = planRestore({ ...history, files: [have, ...rest] }, NEWEST)
    if (files.length > 0) return { kind: 'apply', files }
  } catch (error) {
    if (error instanceof DatabaseDroppedError) {
      return error.droppedAt > at ? { kind: 'dropped', txid: error.droppedAt } : { kind: 'current' }
    }
    if (!(error instanceof BackupGapError) || snapshot <= at) throw error
    const missing = `${formatTXID((error.reached + 1n) as TXID)} to ${formatTXID((error.next - 1n) as TXID)}`
    return { kind: 'replace', reason: `the backup no longer holds transactions ${missing} as separate files` }
  }
  if (compareTXID(snapshot as TXID, at) > 0) {
    const held = `the snapshot at ${formatTXID(snapshot as TXID)}`
    const reason = `the backup holds the transactions after ${formatTXID(at)} only in ${held}`
    return { kind: 'replace', reason }
  }
  return { kind: 'current' }
}

/**
 * As `planNext`, without the objects under these keys; undefined where the others do not lead to the same transaction.
 */
export function planNextAround(history: BackupHistory, at: TXID, avoid: ReadonlySet<string>): Next | undefined {
  const direct = planNext(history, at)
  if (direct.kind !== 'apply' || !direct.files.some(({ key }) => avoid.has(key))) return direct
  try {
    const around = planNext(without(history, avoid), at)
    if (around.kind === 'apply') return endOf(around.files) === endOf(direct.files) ? around : undefined
    return around.kind === 'current' ? undefined : around
  } catch (error) {
    if (error instanceof BackupGapError) return undefined
    throw error
  }
}

function endOf(files: readonly BackupFile[]): TXID | undefined {
  return files.at(-1)?.max
}
