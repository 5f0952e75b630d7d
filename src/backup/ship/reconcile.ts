/** Compares a local log with a backup: a pure decision, and the gathering of its input. */

import type { LogView } from '../../log/view.ts'
import {
  type Checksum,
  formatPosition,
  formatTXID,
  nextTXID,
  type Position,
  type TXID,
} from '../../ltx/format/types.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { type BackupHistory, compareTXID, loadMetadata } from '../history/history.ts'
import { planRestore, type Target } from '../history/plan.ts'
import type { BackupPosition } from '../history/position.ts'
import { PageChecksums } from '../history/replay.ts'
import { readAround } from '../restore/way-round.ts'

export interface ReconcileInput {
  readonly local: Position
  readonly backup: BackupPosition
  /** The local checksum after the backup's last transaction, where the log still holds it. */
  readonly localAtBackup: Checksum | undefined
  /** The backup's checksum after the local last transaction, where a file ends or begins there. */
  readonly backupAtLocal: Checksum | undefined
}

/**
 * * equal: nothing to do.
 * * backup-behind: upload.
 * * gap: the local history continues beyond the backup, but its log begins after the backup's end, so nothing can be
 *   compared. A snapshot closes the gap.
 * * backup-ahead: same history; the node must fast-forward before it may write.
 * * within: the backup is ahead and agrees at an earlier transaction. The local last transaction lies inside a file,
 *   so the backup records no checksum for it.
 * * diverged: two histories.
 * * unknown: there is no checksum at a common transaction, so nothing may be assumed.
 */
export type Relation = 'equal' | 'backup-behind' | 'gap' | 'backup-ahead' | 'within' | 'diverged' | 'unknown'

export interface Reconciliation {
  readonly relation: Relation
  /** For people: the positions that were compared. */
  readonly detail: string
  /** The last file boundary up to which nothing contradicts one history. Present for `within` and `diverged`. */
  readonly common?: TXID
}

export function reconcile(input: ReconcileInput): Reconciliation {
  const { local, backup } = input
  if (backup.txid === 0n) {
    return { relation: local.txid === 0n ? 'equal' : 'backup-behind', detail: 'the backup is empty' }
  }
  if (local.txid === 0n) return { relation: 'backup-ahead', detail: 'there is no local database' }
  if (backup.txid <= local.txid) {
    if (backup.txid < local.txid && input.localAtBackup === undefined) {
      return { relation: 'gap', detail: `the local log begins after ${formatTXID(backup.txid)}, where the backup ends` }
    }
    const same = backup.txid === local.txid ? 'equal' : 'backup-behind'
    return compare(backup.txid, input.localAtBackup, backup.checksum, same)
  }
  return compare(local.txid, local.checksum, input.backupAtLocal, 'backup-ahead')
}

export interface ReconcileOptions {
  readonly signal?: AbortSignal
  /** Called before a backup without checksums in its metadata, such as Litestream's, is read to compute one. */
  readonly onReading?: () => void
}

/**
 * Gathers the input of `reconcile` from log and backup, and decides. Reads the whole backup where only its metadata
 * lacks the checksum. The returned `backup` contains a checksum computed that way.
 */
export async function reconcileWithBackup(
  log: LogView,
  store: ObjectStore,
  history: BackupHistory,
  backup: BackupPosition,
  options: ReconcileOptions = {},
): Promise<Reconciliation & { readonly backup: BackupPosition }> {
  const local = log.position()
  const localAtBackup =
    backup.txid === 0n || backup.txid > local.txid ? undefined : await checksumInLog(log, backup.txid)
  const backupAtLocal = backup.txid > local.txid ? await checksumInBackup(store, history, local.txid) : undefined
  const found = reconcile({ local, backup, localAtBackup, backupAtLocal })
  if (found.relation === 'diverged') return { ...found, ...(await lastCommon(log, store, history)), backup }
  if (found.relation !== 'unknown') return { ...found, backup }
  if (backup.txid > local.txid) {
    const earlier = await compareEarlier(log, store, history)
    if (earlier !== undefined) return { ...earlier, backup }
  }
  const common: TXID = backup.txid < local.txid ? backup.txid : local.txid
  options.onReading?.()
  const computed = await checksumOfPages(store, history, common, options.signal)
  const known = common === backup.txid ? { ...backup, checksum: computed } : backup
  return { ...reconcile({ local, backup: known, localAtBackup, backupAtLocal: computed }), backup: known }
}

/** How many boundaries are compared, newest first. Each takes a request. */
const MAX_BOUNDARIES = 64

/** File boundaries of the backup at or before the local position, newest first. */
function boundaries(history: BackupHistory, local: TXID): TXID[] {
  const all = new Set(history.files.flatMap(({ min, max }) => [max, (min - 1n) as TXID]))
  const usable = [...all].filter((txid) => txid > 0n && txid <= local)
  return usable.sort((a, b) => compareTXID(b, a)).slice(0, MAX_BOUNDARIES)
}

/**
 * The local position lies inside a file: compares at the newest earlier transaction that both log and backup record.
 */
async function compareEarlier(
  log: LogView,
  store: ObjectStore,
  history: BackupHistory,
): Promise<Reconciliation | undefined> {
  for (const txid of boundaries(history, log.position().txid)) {
    const ours = await checksumInLog(log, txid)
    if (ours === undefined) return undefined
    const theirs = await checksumInBackup(store, history, txid)
    if (theirs === undefined) continue
    const found = compare(txid, ours, theirs, 'within')
    return found.relation === 'within'
      ? { ...found, common: txid }
      : { ...found, ...(await lastCommon(log, store, history)) }
  }
  return undefined
}

/** Where two different histories may last have been one: the newest boundary that does not prove otherwise. */
async function lastCommon(
  log: LogView,
  store: ObjectStore,
  history: BackupHistory,
): Promise<{ readonly common: TXID }> {
  for (const txid of boundaries(history, log.position().txid)) {
    const ours = await checksumInLog(log, txid)
    // The log does not reach back that far.
    if (ours === undefined) return { common: txid }
    const theirs = await checksumInBackup(store, history, txid)
    if (theirs === ours) return { common: txid }
  }
  return { common: 0n as TXID }
}

/** The checksum after a transaction, from every page; undefined when the backup cannot be restored as of then. */
async function checksumOfPages(
  store: ObjectStore,
  history: BackupHistory,
  txid: TXID,
  signal: AbortSignal | undefined,
): Promise<Checksum | undefined> {
  const target: Target = { kind: 'txid', txid }
  try {
    planRestore(history, target)
  } catch {
    return undefined
  }
  const { result } = await readAround({ store, database: history.database, target, history, signal }, async (plan) => {
    const pages = new PageChecksums()
    await pages.apply(store, plan, signal)
    return pages.checksum()
  })
  return result
}

/** The database's checksum after a transaction, while the log holds that transaction or the next one. */
export async function checksumInLog(log: LogView, txid: TXID): Promise<Checksum | undefined> {
  const position = log.position()
  if (position.txid === txid) return position.checksum
  const first = await log.first()
  if (first === undefined || txid > position.txid || nextTXID(txid) < first) return undefined
  if (txid >= first) {
    for await (const record of log.records(txid, txid)) return record.postApplyChecksum
  }
  for await (const record of log.records(first, first)) {
    const { preApplyChecksum } = record.header
    return preApplyChecksum === 0n ? undefined : preApplyChecksum
  }
  return undefined
}

/** The checksum after a transaction, if a file with checksums in its metadata ends there or begins right after it. */
export async function checksumInBackup(
  store: ObjectStore,
  history: BackupHistory,
  txid: TXID,
): Promise<Checksum | undefined> {
  for (const file of history.files) {
    if (file.max !== txid && file.min !== txid + 1n) continue
    const { preApplyChecksum, postApplyChecksum } = await loadMetadata(store, file)
    const checksum = file.max === txid ? postApplyChecksum : preApplyChecksum
    if (checksum !== undefined) return checksum
  }
  return undefined
}

function compare(
  txid: TXID,
  local: Checksum | undefined,
  backup: Checksum | undefined,
  whenSame: Relation,
): Reconciliation {
  if (local === undefined || backup === undefined) {
    const side = local === undefined ? 'the local log' : 'the backup'
    return { relation: 'unknown', detail: `${side} records no checksum after transaction ${formatTXID(txid)}` }
  }
  if (local === backup)
    return { relation: whenSame, detail: `both are at ${formatPosition({ txid, checksum: local })}` }
  const [ours, theirs] = [local, backup].map((checksum) => formatPosition({ txid, checksum }))
  const detail = `locally ${ours}, in the backup ${theirs}`
  return { relation: 'diverged', detail }
}
