/**
 * What a node does with a database's backup before it leads, because the previous leader may have shipped more than
 * it streamed. `planTakeOver` is pure, `gatherTakeOverFacts` gathers its input, and `executeTakeOver`
 * (execute-take-over.ts) carries a plan out.
 */

import type { LogView } from '../../log/view.ts'
import { type Position, toTXID, type TXID } from '../../ltx/format/types.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { type BackupFile, type BackupHistory, loadHistory } from '../history/history.ts'
import { planNext } from '../history/next.ts'
import { type BackupPosition, backupPosition } from '../history/position.ts'
import { type ReconcileOptions, reconcileWithBackup, type Reconciliation } from './reconcile.ts'

export interface TakeOverFacts {
  readonly local: Position
  /**
   * The highest term of a leader whose history the local database holds, as leader or as its replica; 0 when unknown.
   */
  readonly localTerm: bigint
  readonly history: BackupHistory
  readonly backup: BackupPosition
  readonly comparison: Reconciliation
}

/**
 * `takenOverAt` is for BackupService.add: where the new term begins.
 * * equal, backup-behind: lead.
 * * gap: lead. The log no longer holds the transactions the backup lacks; a snapshot closes the gap.
 * * fast-forward: apply these files, in order. Each begins at most one past the position and ends beyond it.
 * * replace: no file continues from the position; only the whole backup does. Its history is the local one, so
 *   nothing is lost.
 * * dropped: the database was dropped; its TXIDs continue from there.
 * * diverged: two histories; the later leader's wins. If the backup wins, the caller must move the local database to
 *   `diverged/` and replace it. If the local one wins, lead: the service sets aside the backup's objects beyond
 *   `takenOverAt`.
 * * unknown: nothing may be assumed, so the node must not lead.
 */
export type TakeOver =
  | { readonly kind: 'equal' | 'backup-behind' | 'gap'; readonly takenOverAt: TXID; readonly detail: string }
  | { readonly kind: 'fast-forward'; readonly takenOverAt: TXID; readonly files: readonly BackupFile[] }
  | { readonly kind: 'replace'; readonly takenOverAt: TXID; readonly reason: string }
  | { readonly kind: 'dropped'; readonly takenOverAt: TXID }
  | {
      readonly kind: 'diverged'
      readonly winner: 'local' | 'backup'
      readonly takenOverAt: TXID
      readonly detail: string
    }
  | { readonly kind: 'unknown'; readonly detail: string }

/** Throws BackupGapError where the backup is ahead but has a gap before its newer transactions. */
export function planTakeOver(facts: TakeOverFacts): TakeOver {
  const { local, localTerm, backup, comparison } = facts
  const { relation, detail, common = toTXID(0) } = comparison
  const diverged = (winner: 'local' | 'backup'): TakeOver => {
    return { kind: 'diverged', winner, takenOverAt: winner === 'local' ? common : backup.txid, detail }
  }
  switch (relation) {
    case 'equal':
    case 'backup-behind':
      return { kind: relation, takenOverAt: local.txid, detail }
    case 'gap':
      // A leader later than any this node knows of wrote to the backup, and yet shipped less: its history may be
      // another.
      if (backup.term > localTerm) return { kind: 'unknown', detail }
      return { kind: 'gap', takenOverAt: local.txid, detail }
    case 'backup-ahead':
      return ahead(facts)
    case 'within':
      // Up to its position a replica has its leader's history. For other leaders that is not certain.
      if (backup.term === localTerm) return ahead(facts)
      return diverged(backup.term > localTerm ? 'backup' : 'local')
    case 'diverged':
      return diverged(backup.term >= localTerm ? 'backup' : 'local')
    case 'unknown':
      // A replica that began with a snapshot has nothing to compare with a file that contains its position.
      if (local.txid === 0n || local.txid >= backup.txid || localTerm === 0n) return { kind: 'unknown', detail }
      if (backup.term === localTerm) return ahead(facts)
      return backup.term > localTerm ? diverged('backup') : { kind: 'unknown', detail }
  }
}

function ahead({ local, history, backup }: TakeOverFacts): TakeOver {
  const takenOverAt = backup.txid
  if (backup.state === 'dropped') return { kind: 'dropped', takenOverAt }
  if (local.txid === 0n) return { kind: 'replace', takenOverAt, reason: 'there is no local database' }
  const next = planNext(history, local.txid)
  switch (next.kind) {
    case 'apply':
      return { kind: 'fast-forward', takenOverAt, files: next.files }
    case 'dropped':
      return { kind: 'dropped', takenOverAt: next.txid }
    case 'replace':
      return { kind: 'replace', takenOverAt, reason: next.reason }
    case 'current':
      return { kind: 'replace', takenOverAt, reason: 'no file of the backup continues from the local position' }
  }
}

export interface GatherOptions extends ReconcileOptions {
  /** The listing, where the caller has it. */
  readonly history?: BackupHistory
}

/** Lists the backup of one database and compares. Must not begin before the previous holder's deadline. */
export async function gatherTakeOverFacts(
  store: ObjectStore,
  log: LogView,
  localTerm: bigint,
  options: GatherOptions = {},
): Promise<TakeOverFacts> {
  const history = options.history ?? (await loadHistory(store, log.database, options.signal))
  const position = await backupPosition(store, history, options.signal)
  const { backup, ...comparison } = await reconcileWithBackup(log, store, history, position, options)
  return { local: log.position(), localTerm, history, backup, comparison }
}

/**
 * Whether the listing names a transaction beyond the local position. If not, a node that has the history of the last
 * leader may lead before it compares: up to its position that leader's history is its own. Whoever ships compares.
 */
export function namesMore({ files, markers }: BackupHistory, local: TXID): boolean {
  return files.some(({ max }) => max > local) || markers.some(({ txid }) => txid > local)
}
