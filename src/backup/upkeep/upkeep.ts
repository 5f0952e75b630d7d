/**
 * Looking after one database's backup once, from the backup alone: what the commands, the queues' workers and the functions
 * have in common. Each may be repeated at any time and run twice at once: puts are conditional, and what is done already is
 * not done again.
 */

import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { NoBackupError } from '../history/errors.ts'
import { type BackupHistory, loadHistories, loadHistory } from '../history/history.ts'
import type { FileRef } from '../history/layout.ts'
import type { RetentionPolicy } from '../history/levels.ts'
import { backupPosition } from '../history/position.ts'
import { type CompactionOptions, compactLevel, snapshotFromBackup } from './compaction.ts'
import { applyRetention } from './retention.ts'
import { planRetention, type RetentionPlan } from './retention-plan.ts'

export type UpkeepOptions = Omit<CompactionOptions, 'history'>

/**
 * Brings the levels 1 to `level` up to date, each before the next takes from it, as a daemon does where their intervals
 * meet. Empty when there is nothing new. Throws what `compactLevel` throws.
 */
export async function compactUpTo(
  store: ObjectStore,
  database: string,
  level: number,
  options: UpkeepOptions = {},
): Promise<FileRef[]> {
  const written: FileRef[] = []
  // Listed again only where something has changed: as a rule nothing has, and then one listing is all that this costs.
  let history: BackupHistory | undefined
  for (let next = 1; next <= level; next++) {
    history ??= await loadHistory(store, database)
    const files = await compactLevel(store, database, next, { ...options, history })
    written.push(...files)
    if (files.length > 0) history = undefined
  }
  return written
}

export type SnapshotOutcome =
  | { readonly outcome: 'made'; readonly file: FileRef }
  /** The newest state is a snapshot already. */
  | { readonly outcome: 'current' }
  /** There is nothing to make one of. */
  | { readonly outcome: 'dropped' | 'empty' }

/** A snapshot of the newest state. Throws BackupGapError where only a node that has the database can make one. */
export async function snapshotOnce(
  store: ObjectStore,
  database: string,
  options: UpkeepOptions = {},
): Promise<SnapshotOutcome> {
  const history = await loadHistory(store, database)
  const { state } = await backupPosition(store, history)
  if (state !== 'live') return { outcome: state }
  const file = await snapshotFromBackup(store, database, { ...options, history })
  return file === undefined ? { outcome: 'current' } : { outcome: 'made', file }
}

/** Deletes what the policy does not promise; with `dryRun`, only says what that is. */
export async function prune(
  store: ObjectStore,
  database: string,
  policy: RetentionPolicy,
  nowMs: number,
  options: { readonly dryRun?: boolean; readonly signal?: AbortSignal } = {},
): Promise<RetentionPlan> {
  const history = await loadHistory(store, database)
  if (options.dryRun === true) return planRetention(history, policy, nowMs)
  const { signal } = options
  return applyRetention(store, database, policy, nowMs, { history, ...(signal && { signal }) })
}

/** What the backup holds of a database. Throws NoBackupError, which names those that it does hold. */
export async function requireHistory(store: ObjectStore, database: string): Promise<BackupHistory> {
  const history = await loadHistory(store, database)
  if (history.files.length > 0 || history.markers.length > 0) return history
  throw new NoBackupError(store.url, database, [...(await loadHistories(store)).keys()])
}
