import { assertDurable } from '../../log/view.ts'
import { formatTXID, type TXID } from '../../ltx/format/types.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import type { BackupLogger, Clock } from '../../util/clock.ts'
import {
  BackupAheadError,
  BackupChangingError,
  BackupDivergedError,
  BackupFencedError,
  BackupGapError,
  BackupUnrelatedError,
  BrokenChainError,
} from '../history/errors.ts'
import { type BackupHistory, filesOfLevel, loadHistory, loadMetadata, newestFile } from '../history/history.ts'
import { SNAPSHOT_LEVEL } from '../history/layout.ts'
import type { RetentionPolicy } from '../history/levels.ts'
import { backupPosition } from '../history/position.ts'
import { putMarker } from '../history/put.ts'
import { UNSETTLED_MS } from '../history/upload-window.ts'
import { compactLevel, snapshotFromBackup } from '../upkeep/compaction.ts'
import { coveredUpTo } from '../upkeep/compaction-plan.ts'
import type { CompactionOutcome } from '../upkeep/maintenance.ts'
import { applyRetention } from '../upkeep/retention.ts'
import { type Fence } from './fence.ts'
import { type LiveDatabase, snapshotLive } from './live-snapshot.ts'
import { LostTail } from './lost-tail.ts'
import { reconcileWithBackup, type Reconciliation } from './reconcile.ts'
import { type UploadState, uploadTransactions } from './upload.ts'

export interface DatabaseBackupContext {
  /** Writes nothing outside the fence. */
  readonly store: ObjectStore
  readonly fence: Fence
  readonly clock: Clock
  readonly logger: BackupLogger
  /** Where live snapshots make their copies. */
  readonly temporaryParent: string
  readonly onUploaded: (name: string, txid: TXID) => void
}

/** So often something may be found that does not belong into the backup, while it is looked at. */
const MAX_ATTEMPTS = 4

/** The backup of one database: what has to be done next to bring it up to date. One call at a time of `sync`. */
export class DatabaseBackup {
  readonly database: LiveDatabase
  readonly #context: DatabaseBackupContext
  readonly #lostTail: LostTail | undefined
  #state: UploadState | undefined
  #hasSnapshot = false
  /** Nothing that is old enough could be made a snapshot of before. */
  #snapshotAfterMs = 0
  /** Everything committed before is in the backup. */
  #caughtUpAtMs: number

  /** `takenOverAt`: as of LostTail. */
  constructor(database: LiveDatabase, context: DatabaseBackupContext, takenOverAt?: TXID) {
    this.database = database
    this.#context = context
    const { fence, store, clock, logger } = context
    const { name, log } = database
    const about = { store, database: name, log, clock, logger, term: fence.term, takenOverAt }
    this.#lostTail = fence.isLeased ? new LostTail(about) : undefined
    this.#caughtUpAtMs = context.clock.now()
  }

  /** Last transaction in the backup; undefined until the backup has been looked at. */
  get uploaded(): TXID | undefined {
    return this.#state?.txid
  }

  /** Whether everything that is committed is in the backup. */
  get isCurrent(): boolean {
    return this.#state !== undefined && this.database.log.position().txid === this.#state.txid
  }

  /** The backup has transactions but no snapshot, or a gap that a snapshot closes. */
  get needsSnapshot(): boolean {
    const isDue = this.#context.clock.now() >= this.#snapshotAfterMs
    return this.#state !== undefined && this.#state.commit > 0 && !this.#hasSnapshot && isDue
  }

  /** There may be something to do even if everything is in the backup. */
  get needsLook(): boolean {
    return this.#lostTail?.isDue ?? false
  }

  /** An upper bound: no transaction older than this is missing from the backup. */
  lagMs(): number {
    if (this.isCurrent) return 0
    return Math.max(0, this.#context.clock.now() - this.#caughtUpAtMs)
  }

  /** Ships what is new. After an error the backup is looked at afresh. Throws LeaseEndedError, BackupFencedError and more. */
  sync(signal: AbortSignal): Promise<void> {
    return this.#context.fence.run(signal, (fenced) => this.#sync(fenced))
  }

  compact(level: number, signal: AbortSignal): Promise<CompactionOutcome> {
    const { store, clock, logger, fence } = this.#context
    const { name } = this.database
    let skipped = false
    const onSkipped = (problem: string) => {
      skipped = true
      logger.error({ db: name, level, problem }, 'files of the backup do not join: compaction leaves them as they are')
    }
    return fence.run(signal, async (fenced) => {
      const history = await loadHistory(store, name)
      const options = { history, nowMs: clock.now(), signal: fenced, onSkipped }
      const written = await compactLevel(store, name, level, options)
      const reached = written.at(-1)?.max ?? coveredUpTo(history, level)
      const isBehind = !skipped && coveredUpTo(history, level - 1) > reached
      return { changed: written.length > 0, isBehind }
    })
  }

  /** A snapshot of what the backup holds, or, if that has a gap, of the database itself. */
  snapshot(signal: AbortSignal): Promise<void> {
    return this.#context.fence.run(signal, (fenced) => this.#snapshot(fenced))
  }

  /** Returns when there will be more to delete though nothing is added; Infinity: not before something is. */
  retain(policy: RetentionPolicy, signal: AbortSignal): Promise<number> {
    const { store, clock, fence } = this.#context
    return fence.run(signal, async (fenced) => {
      const plan = await applyRetention(store, this.database.name, policy, clock.now(), { signal: fenced })
      return plan.nextMs
    })
  }

  async #sync(signal: AbortSignal): Promise<void> {
    try {
      this.#state ??= await this.#open(signal)
      const startedMs = this.#context.clock.now()
      const { txid } = await this.database.log.sync()
      if (txid > this.#state.txid) await this.#ship(this.#state, txid, signal)
      else if (this.needsLook) await this.#lostTail?.look(signal)
      this.#caughtUpAtMs = startedMs
    } catch (error) {
      if (!signal.aborted) this.#state = undefined
      throw error
    }
  }

  async #snapshot(signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#context
    const history = await loadHistory(store, this.database.name)
    if (history.files.length === 0) return
    if ((await backupPosition(store, history)).state !== 'live') return
    try {
      const nowMs = clock.now()
      const made = await snapshotFromBackup(store, this.database.name, { history, nowMs, signal })
      this.#hasSnapshot = made !== undefined || filesOfLevel(history, SNAPSHOT_LEVEL).length > 0
      if (!this.#hasSnapshot) this.#snapshotAfterMs = nowMs + UNSETTLED_MS
    } catch (error) {
      if (!(error instanceof BackupGapError || error instanceof BrokenChainError)) throw error
      await this.#snapshotLive(signal)
      this.#hasSnapshot = true
    }
  }

  async #open(signal: AbortSignal): Promise<UploadState> {
    const { store, logger, onUploaded } = this.#context
    const { name, log } = this.database
    const history = await this.#loadOwnHistory(signal)
    const onReading = () =>
      logger.info({ db: name }, 'the backup tells no checksums: reading it to compare it with the database')
    const position = await backupPosition(store, history)
    const { backup, ...found } = await reconcileWithBackup(log, store, history, position, { signal, onReading })
    this.#assertMayUpload(found)
    if (found.relation === 'gap') {
      logger.warn(
        { db: name, detail: found.detail },
        'the log does not reach back to the backup: it continues with a new snapshot',
      )
    }
    this.#hasSnapshot = backup.problem === undefined && filesOfLevel(history, SNAPSHOT_LEVEL).length > 0
    if (backup.txid > 0n) onUploaded(name, backup.txid)
    await this.#noteOldestPending(backup.txid)
    const { txid, checksum, timestampMs, pageSize, commit } = backup
    return { txid, checksum, timestampMs, pageSize, commit }
  }

  /** Without what deposed leaders left in it. Throws BackupFencedError where a later leader has written to it. */
  async #loadOwnHistory(signal: AbortSignal): Promise<BackupHistory> {
    const { store, fence } = this.#context
    const { name } = this.database
    for (let attempt = 1; ; attempt++) {
      const history = await loadHistory(store, name)
      const newest = newestFile(history.files)
      if (this.#lostTail === undefined || newest === undefined) return history
      const { term = 0n } = await loadMetadata(store, newest)
      if (term > fence.term) throw new BackupFencedError(store.url, name, newest.key, fence.term, term)
      if (!(await this.#lostTail.clear(history, signal))) return history
      if (attempt >= MAX_ATTEMPTS) throw new BackupChangingError(store.url, newest.key)
    }
  }

  #assertMayUpload({ relation, detail }: Reconciliation): void {
    const { url } = this.#context.store
    const { name } = this.database
    if (relation === 'diverged') throw new BackupDivergedError(url, name, detail)
    if (relation === 'backup-ahead' || relation === 'within') throw new BackupAheadError(url, name, detail)
    if (relation === 'unknown') throw new BackupUnrelatedError(url, name, detail)
  }

  /** What an earlier run left behind counts from when it was committed. */
  async #noteOldestPending(uploaded: TXID): Promise<void> {
    const { log } = this.database
    const first = await log.first()
    const { txid } = log.position()
    if (first === undefined || txid <= uploaded) return
    const oldest = first > uploaded ? first : ((uploaded + 1n) as TXID)
    for await (const { header } of log.records(oldest, oldest)) {
      this.#caughtUpAtMs = Math.min(this.#caughtUpAtMs, header.timestampMs)
    }
  }

  async #ship(from: UploadState, to: TXID, signal: AbortSignal): Promise<void> {
    const { store } = this.#context
    const { name, log } = this.database
    const first = await log.first()
    if (first === undefined || first > from.txid + 1n) {
      await this.#bridgeGap(from, signal)
      return
    }
    const onProgress = (state: UploadState) => this.#reached(state)
    await uploadTransactions(store, name, log, from, to, { ...this.#writing(), signal, onProgress })
  }

  /** The log has lost what the backup needs next: a snapshot takes its place, or, of a dropped database, the marker. */
  async #bridgeGap(from: UploadState, signal: AbortSignal): Promise<void> {
    const { store, fence, logger } = this.#context
    const { name, log } = this.database
    const snapshot = await this.#snapshotLive(signal)
    if (snapshot !== undefined) {
      const { position, timestampMs, pageSize, commit } = snapshot
      this.#hasSnapshot = true
      logger.info({ db: name, txid: formatTXID(position.txid) }, 'snapshot of the live database')
      this.#reached({ ...position, timestampMs, pageSize, commit })
      return
    }
    const { txid } = await log.sync()
    for await (const { header, postApplyChecksum: checksum } of log.records(txid, txid)) {
      assertDurable(log, txid)
      const timestampMs = Math.max(header.timestampMs, from.timestampMs)
      const marker = { kind: 'dropped', txid, timestampMs, term: fence.term } as const
      await putMarker(store, name, marker, signal, this.#lostTail?.resolve)
      this.#reached({ txid, checksum, timestampMs, pageSize: header.pageSize, commit: 0 })
    }
  }

  #snapshotLive(signal: AbortSignal): ReturnType<typeof snapshotLive> {
    const { store, clock, temporaryParent } = this.#context
    const minTimestampMs = this.#state?.timestampMs ?? 0
    const options = { temporaryParent, minTimestampMs, nowMs: clock.now(), ...this.#writing(), signal }
    return snapshotLive(store, this.database, options)
  }

  /** Under which term, and what is done about objects of others. */
  #writing() {
    return { term: this.#context.fence.term, ...(this.#lostTail && { others: this.#lostTail }) }
  }

  #reached(state: UploadState): void {
    // A database that was dropped begins anew with a snapshot.
    if (this.#state?.commit === 0 && this.#state.txid > 0n) this.#hasSnapshot = true
    this.#state = state
    this.#context.onUploaded(this.database.name, state.txid)
  }
}
