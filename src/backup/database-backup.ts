import { formatTXID, type TXID } from '../ltx/types.ts'
import type { ObjectStore } from '../objectstore/objectstore.ts'
import type { BackupLogger, Clock } from './clock.ts'
import { compactLevel, snapshotFromBackup } from './compaction.ts'
import { BackupAheadError, BackupDivergedError, BackupGapError } from './errors.ts'
import { filesOfLevel, loadHistory } from './history.ts'
import { SNAPSHOT_LEVEL } from './layout.ts'
import type { RetentionPolicy } from './levels.ts'
import { snapshotLive, type LiveDatabase } from './live-snapshot.ts'
import { backupPosition, type BackupPosition } from './position.ts'
import { putMarker } from './put.ts'
import { reconcileWithBackup, type Reconciliation } from './reconcile.ts'
import { applyRetention } from './retention.ts'
import { uploadTransactions, type UploadState } from './upload.ts'

export interface DatabaseBackupContext {
  readonly store: ObjectStore
  readonly clock: Clock
  readonly logger: BackupLogger
  /** Where live snapshots make their copies. */
  readonly temporaryParent: string
  /** Of the lease under which this node writes; 0 without one. */
  readonly term: () => number
  readonly onUploaded: (name: string, txid: TXID) => void
}

/** The backup of one database: what has to be done next to bring it up to date. One call at a time of `sync`. */
export class DatabaseBackup {
  readonly database: LiveDatabase
  readonly #context: DatabaseBackupContext
  #state: UploadState | undefined
  #hasSnapshot = false
  /** Everything committed before is in the backup. */
  #caughtUpAtMs: number

  constructor(database: LiveDatabase, context: DatabaseBackupContext) {
    this.database = database
    this.#context = context
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
    return this.#state !== undefined && this.#state.commit > 0 && !this.#hasSnapshot
  }

  /** An upper bound: no transaction older than this is missing from the backup. */
  lagMs(): number {
    if (this.isCurrent) return 0
    return Math.max(0, this.#context.clock.now() - this.#caughtUpAtMs)
  }

  /** Ships what is new. After an error the backup is looked at afresh. */
  async sync(signal: AbortSignal): Promise<void> {
    try {
      this.#state ??= await this.#open(signal)
      const startedMs = this.#context.clock.now()
      const { txid } = await this.database.log.sync()
      if (txid > this.#state.txid) await this.#ship(this.#state, txid, signal)
      this.#caughtUpAtMs = startedMs
    } catch (error) {
      if (!signal.aborted) this.#state = undefined
      throw error
    }
  }

  /** True when the level got new files. */
  async compact(level: number, signal: AbortSignal): Promise<boolean> {
    const { store, term } = this.#context
    const written = await compactLevel(store, this.database.name, level, { term: term(), signal })
    return written.length > 0
  }

  /** A snapshot of what the backup holds, or, if that has a gap, of the database itself. */
  async snapshot(signal: AbortSignal): Promise<void> {
    const { store, term } = this.#context
    const history = await loadHistory(store, this.database.name)
    if (history.files.length === 0) return
    if ((await backupPosition(store, history)).state !== 'live') return
    try {
      await snapshotFromBackup(store, this.database.name, { history, term: term(), signal })
    } catch (error) {
      if (!(error instanceof BackupGapError)) throw error
      await this.#snapshotLive(signal)
    }
    this.#hasSnapshot = true
  }

  /** True when there may be more to delete as time goes by. */
  async retain(policy: RetentionPolicy, signal: AbortSignal): Promise<boolean> {
    const { store, clock } = this.#context
    const history = await loadHistory(store, this.database.name)
    const deleted = await applyRetention(store, this.database.name, policy, clock.now(), { history, signal })
    return filesOfLevel(history, 0).length - deleted.files.filter(({ level }) => level === 0).length > 1
  }

  async #open(signal: AbortSignal): Promise<UploadState> {
    const { store, logger, onUploaded } = this.#context
    const { name, log } = this.database
    const history = await loadHistory(store, name)
    const onReading = () =>
      logger.info({ db: name }, 'the backup tells no checksums: reading it to compare it with the database')
    const position = await backupPosition(store, history)
    const { backup, ...found } = await reconcileWithBackup(log, store, history, position, { signal, onReading })
    this.#assertMayUpload(found, backup)
    if (found.relation === 'unknown') {
      logger.warn(
        { db: name, detail: found.detail },
        'the log does not reach back to the backup: it continues with a new snapshot',
      )
    }
    this.#hasSnapshot = backup.problem === undefined && filesOfLevel(history, SNAPSHOT_LEVEL).length > 0
    if (backup.txid > 0n) onUploaded(name, backup.txid)
    await this.#noteOldestPending(backup.txid)
    const { txid, checksum, timestampMs, pageSize, commit } = backup
    // The checksum of an unknown relation is not one to hold the log against.
    return { txid, checksum: found.relation === 'unknown' ? undefined : checksum, timestampMs, pageSize, commit }
  }

  #assertMayUpload({ relation, detail }: Reconciliation, backup: BackupPosition): void {
    const { url } = this.#context.store
    const { name, log } = this.database
    if (relation === 'diverged') throw new BackupDivergedError(url, name, detail)
    const behind = backup.txid > log.position().txid
    if (relation === 'backup-ahead' || (relation === 'unknown' && behind)) throw new BackupAheadError(url, name, detail)
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
    const { store, term } = this.#context
    const { name, log } = this.database
    const first = await log.first()
    if (first === undefined || first > from.txid + 1n) {
      await this.#bridgeGap(from, signal)
      return
    }
    const onProgress = (state: UploadState) => this.#reached(state)
    await uploadTransactions(store, name, log, from, to, { term: term(), signal, onProgress })
  }

  /** The log has lost what the backup needs next: a snapshot takes its place, or, of a dropped database, the marker. */
  async #bridgeGap(from: UploadState, signal: AbortSignal): Promise<void> {
    const { store, term, logger } = this.#context
    const { name, log } = this.database
    const snapshot = await this.#snapshotLive(signal)
    if (snapshot !== undefined) {
      const { position, timestampMs, pageSize, commit } = snapshot
      this.#hasSnapshot = true
      logger.info({ db: name, txid: formatTXID(position.txid) }, 'snapshot of the live database')
      this.#reached({ ...position, timestampMs, pageSize, commit })
      return
    }
    const { txid } = log.position()
    for await (const { header, postApplyChecksum: checksum } of log.records(txid, txid)) {
      const timestampMs = Math.max(header.timestampMs, from.timestampMs)
      await putMarker(store, name, { kind: 'dropped', txid, timestampMs, term: term() }, signal)
      this.#reached({ txid, checksum, timestampMs, pageSize: header.pageSize, commit: 0 })
    }
  }

  #snapshotLive(signal: AbortSignal): ReturnType<typeof snapshotLive> {
    const { store, clock, temporaryParent, term } = this.#context
    const minTimestampMs = this.#state?.timestampMs ?? 0
    const options = { temporaryParent, minTimestampMs, nowMs: clock.now(), term: term(), signal }
    return snapshotLive(store, this.database, options)
  }

  #reached(state: UploadState): void {
    // A database that was dropped begins anew with a snapshot.
    if (this.#state?.commit === 0 && this.#state.txid > 0n) this.#hasSnapshot = true
    this.#state = state
    this.#context.onUploaded(this.database.name, state.txid)
  }
}
