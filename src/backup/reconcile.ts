/** How a local log and a backup stand to each other. Pure decision, and what it needs to know. */

import type { LogView } from '../log/view.ts'
import { formatPosition, formatTXID, nextTXID, type Checksum, type Position, type TXID } from '../ltx/types.ts'
import type { ObjectStore } from '../objectstore/objectstore.ts'
import { loadMetadata, type BackupHistory } from './history.ts'
import type { BackupPosition } from './position.ts'

export interface ReconcileInput {
  readonly local: Position
  readonly backup: BackupPosition
  /** The local checksum after the backup's last transaction, where the log still tells it. */
  readonly localAtBackup: Checksum | undefined
  /** The backup's checksum after the local last transaction, where a file ends or begins there. */
  readonly backupAtLocal: Checksum | undefined
}

/**
 * equal: nothing to do. backup-behind: upload. backup-ahead: same history, the node has to fast-forward before it may
 * write. diverged: two histories. unknown: no checksum at a common transaction, so nothing may be assumed.
 */
export type Relation = 'equal' | 'backup-behind' | 'backup-ahead' | 'diverged' | 'unknown'

export interface Reconciliation {
  readonly relation: Relation
  /** For people: which positions were compared. */
  readonly detail: string
}

export function reconcile(input: ReconcileInput): Reconciliation {
  const { local, backup } = input
  if (backup.txid === 0n) {
    return { relation: local.txid === 0n ? 'equal' : 'backup-behind', detail: 'the backup is empty' }
  }
  if (local.txid === 0n) return { relation: 'backup-ahead', detail: 'there is no local database' }
  if (backup.txid <= local.txid) {
    const same = backup.txid === local.txid ? 'equal' : 'backup-behind'
    return compare(backup.txid, input.localAtBackup, backup.checksum, same)
  }
  return compare(local.txid, local.checksum, input.backupAtLocal, 'backup-ahead')
}

/** Reads from log and metadata what `reconcile` needs, and decides. */
export async function reconcileWithBackup(
  log: LogView,
  store: ObjectStore,
  history: BackupHistory,
  backup: BackupPosition,
): Promise<Reconciliation> {
  const local = log.position()
  const localAtBackup =
    backup.txid === 0n || backup.txid > local.txid ? undefined : await checksumInLog(log, backup.txid)
  const backupAtLocal = backup.txid > local.txid ? await checksumInBackup(store, history, local.txid) : undefined
  return reconcile({ local, backup, localAtBackup, backupAtLocal })
}

/** The database's checksum after a transaction, while the log holds that transaction or the one after it. */
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

/** The checksum after a transaction, if a file with checksums in its metadata ends there, or begins right after. */
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
    return { relation: 'unknown', detail: `${side} tells no checksum after transaction ${formatTXID(txid)}` }
  }
  if (local === backup)
    return { relation: whenSame, detail: `both are at ${formatPosition({ txid, checksum: local })}` }
  const detail = `locally ${formatPosition({ txid, checksum: local })}, in the backup ${formatPosition({ txid, checksum: backup })}`
  return { relation: 'diverged', detail }
}
