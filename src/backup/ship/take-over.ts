/**
 * What a node does with a database's backup before it leads, because the previous leader may have shipped more than
 * it streamed. `planTakeOver` is pure, `gatherTakeOverFacts` gathers its input, and `executeTakeOver` carries a plan
 * out.
 */

import assert from 'node:assert/strict'
import type { DatabaseOwner } from '../../data/database-owner.ts'
import type { LogView } from '../../log/view.ts'
import { type Checksum, EMPTY_CHECKSUM, type Position, toTXID, type TXID } from '../../ltx/format/types.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { type BackupFile, type BackupHistory, loadHistory, loadMetadata } from '../history/history.ts'
import { type FileRef, SNAPSHOT_LEVEL } from '../history/layout.ts'
import { planNext } from '../history/next.ts'
import { openInput, reportingCorruption, reportingCorruptionStream } from '../history/objects.ts'
import { NEWEST, planRestore } from '../history/plan.ts'
import { type BackupPosition, backupPosition } from '../history/position.ts'
import { mergedBytes } from '../upkeep/compaction.ts'
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
  const history = options.history ?? (await loadHistory(store, log.database))
  const position = await backupPosition(store, history)
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

export interface FileDetails {
  /**
   * Undefined where the backup does not record it (Litestream's), or where the file begins before the state it is
   * applied to.
   */
  readonly preApplyChecksum: Checksum | undefined
  readonly postApplyChecksum: Checksum | undefined
  readonly timestampMs: number
  /** undefined where the backup does not record it. */
  readonly owner: DatabaseOwner | undefined
}

/**
 * Applies one LTX file, whose bytes contain no database checksums. The database must have `postApplyChecksum`
 * afterwards.
 */
export type ApplyFile = (file: FileRef, bytes: AsyncIterable<Uint8Array>, details: FileDetails) => Promise<void>

/**
 * Passes a plan's files to `apply`, one after another: transactions and ranges for `fast-forward`, and for `replace`
 * and `diverged` a single snapshot of the newest state, which replaces everything. Returns the position reached.
 * Throws ObjectNotFoundError where compaction or retention removed a file meanwhile (gather and plan again),
 * CorruptObjectError.
 */
export async function executeTakeOver(
  store: ObjectStore,
  { history, local, backup }: TakeOverFacts,
  plan: TakeOver,
  apply: ApplyFile,
  signal?: AbortSignal,
): Promise<TXID> {
  switch (plan.kind) {
    case 'fast-forward': {
      let at = local.txid
      for (const file of plan.files) {
        signal?.throwIfAborted()
        assert(file.min <= at + 1n && file.max > at, `${file.key} does not continue from transaction ${at}`)
        await applyOne(store, file, file.min === at + 1n, apply, signal)
        at = file.max
      }
      return at
    }
    case 'replace':
      return applySnapshot(store, history, apply, signal)
    case 'diverged':
      return plan.winner === 'backup' && backup.state === 'live'
        ? applySnapshot(store, history, apply, signal)
        : local.txid
    default:
      return local.txid
  }
}

async function applyOne(
  store: ObjectStore,
  file: BackupFile,
  continues: boolean,
  apply: ApplyFile,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { preApplyChecksum, postApplyChecksum, timestampMs = file.timestampMs, owner } = await loadMetadata(store, file)
  const details = { preApplyChecksum: continues ? preApplyChecksum : undefined, postApplyChecksum, timestampMs, owner }
  await reportingCorruption(store, [file], async () =>
    apply(file, await openInput(store, file, signal).open(), details),
  )
}

async function applySnapshot(
  store: ObjectStore,
  history: BackupHistory,
  apply: ApplyFile,
  signal: AbortSignal | undefined,
): Promise<TXID> {
  const files = planRestore(history, NEWEST)
  const last = files.at(-1) ?? files[0]
  const { postApplyChecksum, timestampMs = last.timestampMs, owner } = await loadMetadata(store, last)
  const bytes = reportingCorruptionStream(
    store,
    files,
    mergedBytes(store, files, signal === undefined ? {} : { signal }),
  )
  const file: FileRef = { level: SNAPSHOT_LEVEL, min: toTXID(1), max: last.max }
  await apply(file, bytes, { preApplyChecksum: EMPTY_CHECKSUM, postApplyChecksum, timestampMs, owner })
  return last.max
}
