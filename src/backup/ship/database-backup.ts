import assert from 'node:assert/strict'
import { assertDurable } from '../../log/view.ts'
import { formatTXID, type TXID } from '../../ltx/format/types.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import type { BackupLogger, Clock } from '../../util/clock.ts'
import {
  BackupAheadError,
  BackupChangingError,
  BackupDivergedError,
  BackupFencedError,
  BackupUnrelatedError,
} from '../history/errors.ts'
import { type BackupHistory, filesOfLevel, loadMetadata, newestFile } from '../history/history.ts'
import { type BackupSchedule, DEFAULT_SCHEDULE } from '../history/levels.ts'
import { backupPosition } from '../history/position.ts'
import { putMarker } from '../history/put.ts'
import { warnOfBackupAhead } from '../history/store-clock.ts'
import { BackupLag } from './backup-lag.ts'
import type { Catalog } from './catalog.ts'
import { DatabaseUpkeep, hasSnapshot } from './database-upkeep.ts'
import { type Fence } from './fence.ts'
import { Healing } from './healing.ts'
import { type LiveDatabase, snapshotLive } from './live-snapshot.ts'
import { droppedAtMs, oldestPendingMs } from './log-times.ts'
import { LostTail } from './lost-tail.ts'
import { reconcileWithBackup, type Reconciliation } from './reconcile.ts'
import { uploadNewestAlone, type UploadState, uploadTransactions } from './upload.ts'

export interface DatabaseBackupContext {
  /** Of a store that writes only inside the fence. */
  readonly catalog: Catalog
  readonly fence: Fence
  readonly clock: Clock
  readonly logger: BackupLogger
  /** Where live snapshots copy the database to. */
  readonly temporaryParent: string
  readonly onUploaded: (name: string, txid: TXID) => void
  readonly schedule?: BackupSchedule
}

/** How often the backup is listed again after foreign objects were set aside. */
const MAX_ATTEMPTS = 4

/** The backup of one database, and the next steps that bring it up to date. `sync` must not run twice at once. */
export class DatabaseBackup {
  readonly database: LiveDatabase
  readonly #context: DatabaseBackupContext
  readonly #lostTail: LostTail | undefined
  readonly #healing: Healing
  /** Compaction, snapshots and retention. */
  readonly upkeep: DatabaseUpkeep
  readonly #store: ObjectStore
  #state: UploadState | undefined
  readonly #lag: BackupLag

  /** `takenOverAt`: see LostTailOptions. */
  constructor(database: LiveDatabase, context: DatabaseBackupContext, takenOverAt?: TXID) {
    this.database = database
    this.#context = context
    const { fence, catalog, clock, logger, schedule = DEFAULT_SCHEDULE } = context
    const { name, log } = database
    const { store } = catalog
    this.#store = store
    const head = (key: string, signal?: AbortSignal) => catalog.local.head(key, signal)
    const options = { store, head, database: name, log, clock, logger, term: fence.term, takenOverAt }
    const { isSparing: isSurveyed } = catalog
    this.#lostTail = fence.isLeased ? new LostTail({ ...options, isSurveyed }) : undefined
    this.#lag = new BackupLag(clock)
    this.#healing = new Healing({
      store,
      database: name,
      clock,
      logger,
      position: () => database.log.position().txid,
      snapshot: (signal) => this.#replace(signal),
    })
    this.upkeep = new DatabaseUpkeep({
      ...{ catalog, fence, clock, logger, schedule },
      database: name,
      healing: this.#healing,
      lostTail: this.#lostTail,
      shipped: () => (this.#state !== undefined && this.#state.commit > 0 ? this.#state.txid : undefined),
      snapshotLive: () => (this.#state === undefined ? undefined : (signal) => this.#snapshotLive(signal)),
    })
  }

  /** Damage of the backup that was found, and is not healed yet. */
  get problem(): string | undefined {
    return this.#healing.problem
  }

  /** The last transaction in the backup; undefined until the backup has been read. */
  get uploaded(): TXID | undefined {
    return this.#state?.txid
  }

  /** Whether every committed transaction is in the backup. */
  get isCurrent(): boolean {
    return this.#state !== undefined && this.database.log.position().txid === this.#state.txid
  }

  /** The backup has transactions but no snapshot, or a gap that a snapshot closes. */
  get needsSnapshot(): boolean {
    const { hasSnapshot, mayMakeSnapshot } = this.upkeep
    return this.#state !== undefined && this.#state.commit > 0 && !hasSnapshot && mayMakeSnapshot
  }

  /** Whether the backup must be checked for foreign objects, even if everything is shipped. */
  get needsCheck(): boolean {
    return this.#lostTail?.isDue ?? false
  }

  lagMs(): number {
    return this.isCurrent ? 0 : this.#lag.ms
  }

  /**
   * Ships new transactions. After an error the backup is read again. Throws LeaseEndedError, BackupFencedError and
   * more.
   */
  sync(signal: AbortSignal): Promise<void> {
    return this.#context.fence.run(signal, (fenced) => this.#sync(fenced))
  }

  /** For a program that continues the backup in this node's place, after everything is shipped. */
  finish(signal: AbortSignal): Promise<void> {
    return this.#context.fence.run(signal, async (fenced) => {
      if (this.#state === undefined || !this.isCurrent) return
      const { name, log, owner } = this.database
      const options = { ...this.#writing(), ...(owner && { owner }), signal: fenced }
      this.#state = await uploadNewestAlone(this.#store, name, log, this.#state, options)
    })
  }

  async #sync(signal: AbortSignal): Promise<void> {
    try {
      this.#state ??= await this.#open(signal)
      const startedMs = this.#context.clock.monotonicMs()
      const { txid } = await this.database.log.sync()
      if (txid > this.#state.txid) await this.#ship(this.#state, txid, signal)
      else if (this.needsCheck) await this.#lostTail?.check(signal)
      this.#lag.caughtUp(startedMs)
    } catch (error) {
      if (!signal.aborted) this.#state = undefined
      throw error
    }
  }

  /** Ships a snapshot of the live database in the place of what is damaged. */
  async #replace(signal: AbortSignal): Promise<TXID | undefined> {
    const snapshot = await this.#snapshotLive(signal)
    if (snapshot !== undefined) this.upkeep.hasSnapshot = true
    return snapshot?.position.txid
  }

  async #open(signal: AbortSignal): Promise<UploadState> {
    const { catalog, logger, onUploaded } = this.#context
    const store = this.#store
    const { name, log } = this.database
    const history = await this.#loadOwnHistory(signal)
    const onReading = () =>
      logger.info(
        { database: name },
        'the backup records no checksums: reading its pages to compare them with the database',
      )
    const position = await backupPosition(store, history, signal)
    const { backup, ...found } = await reconcileWithBackup(log, store, history, position, { signal, onReading })
    this.#assertMayUpload(found)
    if (found.relation === 'gap') {
      logger.warn(
        { database: name, reason: found.detail },
        'the log does not reach back to the end of the backup: the backup continues with a new snapshot',
      )
    }
    this.upkeep.hasSnapshot = backup.problem === undefined && hasSnapshot(history)
    if (backup.txid > 0n) onUploaded(name, backup.txid)
    // Transactions that an earlier run left unshipped count from their commit times.
    const pendingMs = await oldestPendingMs(log, backup.txid)
    if (pendingMs !== undefined) this.#lag.missing(pendingMs)
    const { txid, checksum, timestampMs, pageSize, commit } = backup
    warnOfBackupAhead(logger, name, timestampMs, this.#context.clock.now())
    // The longest: a stop that put the newest transaction alone may have ended before it deleted this one.
    const file = filesOfLevel(history, 0).find(({ max }) => max === txid)
    catalog.trim(name)
    return { txid, checksum, timestampMs, pageSize, commit, ...(file && { file }) }
  }

  /**
   * The history without the files of deposed leaders. Throws BackupFencedError where a later leader has written to
   * it.
   */
  async #loadOwnHistory(signal: AbortSignal): Promise<BackupHistory> {
    const { catalog, fence } = this.#context
    const store = this.#store
    const { name } = this.database
    for (let attempt = 1; ; attempt++) {
      const history = await catalog.load(name, signal)
      const newest = newestFile(history.files)
      if (this.#lostTail === undefined || newest === undefined) return history
      const { term = 0n } = await loadMetadata(store, newest, signal)
      if (term > fence.term) throw new BackupFencedError(store.url, name, newest.key, fence.term, term)
      if (!(await this.#lostTail.clear(history, signal))) return history
      if (attempt >= MAX_ATTEMPTS) throw new BackupChangingError(store.url, newest.key)
    }
  }

  #assertMayUpload({ relation, detail }: Reconciliation): void {
    const { url } = this.#store
    const { name } = this.database
    if (relation === 'diverged') throw new BackupDivergedError(url, name, detail)
    if (relation === 'backup-ahead' || relation === 'within') throw new BackupAheadError(url, name, detail)
    if (relation === 'unknown') throw new BackupUnrelatedError(url, name, detail)
  }

  async #ship(from: UploadState, to: TXID, signal: AbortSignal): Promise<void> {
    const store = this.#store
    const { name, log, owner } = this.database
    const first = await log.first()
    if (first === undefined || first > from.txid + 1n) {
      await this.#bridgeGap(from, signal)
      return
    }
    const onProgress = (state: UploadState) => this.#reached(state)
    await uploadTransactions(store, name, log, from, to, {
      ...this.#writing(),
      ...(owner && { owner }),
      signal,
      onProgress,
    })
  }

  /**
   * The log no longer holds the transactions the backup needs next: ship a snapshot, or a drop's marker, in their
   * place.
   */
  async #bridgeGap(from: UploadState, signal: AbortSignal): Promise<void> {
    const { fence, logger } = this.#context
    const { name, log } = this.database
    const snapshot = await this.#snapshotLive(signal)
    if (snapshot !== undefined) {
      const { position, timestampMs, pageSize, commit } = snapshot
      this.upkeep.hasSnapshot = true
      logger.info({ database: name, txid: formatTXID(position.txid) }, 'shipped a snapshot of the live database')
      this.#reached({ ...position, timestampMs, pageSize, commit })
      return
    }
    const { txid, checksum } = await log.sync()
    assertDurable(log, txid)
    const atMs = (await droppedAtMs(log, txid)) ?? this.#context.clock.now()
    const timestampMs = Math.max(atMs, from.timestampMs)
    const marker = { kind: 'dropped', txid, timestampMs, term: fence.term } as const
    await putMarker(this.#store, name, marker, signal, this.#lostTail?.resolve)
    this.#reached({ txid, checksum, timestampMs, pageSize: from.pageSize, commit: 0 })
  }

  #snapshotLive(signal: AbortSignal): ReturnType<typeof snapshotLive> {
    const { clock, temporaryParent } = this.#context
    const minTimestampMs = this.#state?.timestampMs ?? 0
    const options = { temporaryParent, minTimestampMs, nowMs: clock.now(), ...this.#writing(), signal }
    return snapshotLive(this.#store, this.database, options)
  }

  /** The term of the writes, and the handling of other leaders' objects. */
  #writing() {
    return { term: this.#context.fence.term, ...(this.#lostTail && { others: this.#lostTail }) }
  }

  #reached(state: UploadState): void {
    const previous = this.#state
    assert(previous === undefined || state.txid >= previous.txid, 'the shipped position went back')
    // A database that was dropped begins anew with a snapshot.
    if (previous?.commit === 0 && previous.txid > 0n) this.upkeep.hasSnapshot = true
    this.#state = state
    this.#context.onUploaded(this.database.name, state.txid)
  }
}
