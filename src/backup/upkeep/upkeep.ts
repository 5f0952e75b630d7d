/**
 * One pass of upkeep over one database's backup, from the backup alone: shared by the commands, the queues' workers
 * and the functions. Each may be repeated at any time and may run twice at once: puts are conditional, and finished
 * work is not repeated.
 */

import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { type BackupHistory, loadHistory } from '../history/history.ts'
import type { FileRef } from '../history/layout.ts'
import type { RetentionPolicy } from '../history/levels.ts'
import { backupPosition } from '../history/position.ts'
import { type CompactionOptions, compactLevel, snapshotFromBackup } from './compaction.ts'
import { applyRetention } from './retention.ts'
import type { RetentionPlan } from './retention-plan.ts'

export type UpkeepOptions = Omit<CompactionOptions, 'history'>

/**
 * Brings levels 1 to `level` up to date, each before the next one uses it, as a daemon does where their intervals
 * coincide. Returns no files when there is nothing new. Throws the errors of `compactLevel`.
 */
export async function compactUpTo(
  store: ObjectStore,
  database: string,
  level: number,
  options: UpkeepOptions = {},
): Promise<FileRef[]> {
  const written: FileRef[] = []
  // List again only after a change. Usually there is none, and the pass costs one listing.
  let history: BackupHistory | undefined
  for (let next = 1; next <= level; next++) {
    history ??= await loadHistory(store, database, options.signal)
    const files = await compactLevel(store, database, next, { ...options, history })
    written.push(...files)
    if (files.length > 0) history = undefined
  }
  return written
}

export type SnapshotOutcome =
  | { readonly outcome: 'made'; readonly file: FileRef }
  /** The newest state is already a snapshot. */
  | { readonly outcome: 'current' }
  /** There is no state to make a snapshot of. */
  | { readonly outcome: 'dropped' | 'empty' }

/** Makes a snapshot of the newest state. Throws BackupGapError where only a node that has the database can make one. */
export async function snapshotOnce(
  store: ObjectStore,
  database: string,
  options: UpkeepOptions = {},
): Promise<SnapshotOutcome> {
  const history = await loadHistory(store, database, options.signal)
  const { state } = await backupPosition(store, history, options.signal)
  if (state !== 'live') return { outcome: state }
  const file = await snapshotFromBackup(store, database, { ...options, history })
  return file === undefined ? { outcome: 'current' } : { outcome: 'made', file }
}

/** Deletes the files that the policy does not promise. With `dryRun`, only returns them. */
export async function prune(
  store: ObjectStore,
  database: string,
  policy: RetentionPolicy,
  nowMs: number,
  options: { readonly dryRun?: boolean; readonly signal?: AbortSignal } = {},
): Promise<RetentionPlan> {
  return applyRetention(store, database, policy, nowMs, options)
}
