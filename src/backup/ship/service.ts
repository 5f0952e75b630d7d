import { setMaxListeners } from 'node:events'
import pLimit from 'p-limit'
import { formatTXID, type TXID } from '../../ltx/format/types.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { type BackupLogger, type Clock, systemClock } from '../../util/clock.ts'
import { errorMessage } from '../../util/errors.ts'
import { BackupFencedError } from '../history/errors.ts'
import { failureReason } from '../history/failure.ts'
import { type BackupSchedule, DEFAULT_SCHEDULE } from '../history/levels.ts'
import { Maintenance } from '../upkeep/maintenance.ts'
import { DatabaseBackup, type DatabaseBackupContext } from './database-backup.ts'
import { Fence } from './fence.ts'
import { FencedStore } from './fenced-store.ts'
import type { LiveDatabase } from './live-snapshot.ts'

export interface BackupServiceOptions {
  readonly store: ObjectStore
  readonly logger: BackupLogger
  /** Where copies for snapshots of live databases are made; best on the file system of the databases. */
  readonly temporaryParent: string
  readonly schedule?: BackupSchedule
  /** False: levels, snapshots of the backup and retention are for others to see to; a live snapshot where one is needed is not. */
  readonly upkeep?: boolean
  readonly clock?: Clock
  /** Of the lease under which this node writes; 0, or absent: there is none, and nobody else who could write. */
  readonly term?: bigint
  /** The deadline of that lease on the monotonic clock (see Clock), read anew at each use. Without it, there is none. */
  readonly mayWriteUntilMs?: () => number
  /**
   * On the monotonic clock: nothing is written before. The deadline of the previous holder plus UPLOAD_TIMEOUT_MS; 0 where it
   * released the lease, or there was none.
   */
  readonly notBeforeMs?: number
  /** A leader of a higher term writes to the backup. Said once; nothing is written any more. */
  readonly onFenced?: (higherTerm: bigint) => void
  /** Everything of a database up to this transaction is in the backup: its log need not keep it for that. */
  readonly onUploaded?: (name: string, txid: TXID) => void
}

export interface DatabaseBackupStatus {
  readonly name: string
  /** Last transaction in the backup; undefined until the backup has been reached once. */
  readonly txid: TXID | undefined
  /** No transaction older than this is missing from the backup; 0 when none is. */
  readonly lagMs: number
  /** Why the last attempt failed; undefined once one has succeeded. */
  readonly lastError: string | undefined
}

interface Entry {
  readonly backup: DatabaseBackup
  /** The upload under way. */
  running: Promise<void> | undefined
  failures: number
  retryAtMs: number
  lastError: string | undefined
  /** Of the last failure, while there is one. */
  reason: string | undefined
}

const MAX_CONCURRENT_UPLOADS = 8
const MAX_BACKOFF_MS = 30_000

/**
 * Keeps the backup of all databases of a node up to date: ships what was committed each sync interval, makes snapshots,
 * compacts, and deletes what retention does not promise. A store that fails is reported once for each database, retried
 * with growing pauses, and caught up with by itself.
 */
export class BackupService {
  readonly #options: BackupServiceOptions
  readonly #clock: Clock
  readonly #schedule: BackupSchedule
  readonly #entries = new Map<string, Entry>()
  readonly #limit = pLimit(MAX_CONCURRENT_UPLOADS)
  readonly #stopping = new AbortController()
  readonly #maintenance: Maintenance
  readonly #fence: Fence
  /** Everything is written through it. */
  readonly #store: ObjectStore
  #fenced: BackupFencedError | undefined
  #loop: Promise<void> | undefined

  constructor(options: BackupServiceOptions) {
    this.#options = options
    // Each upload under way and each that waits listens.
    setMaxListeners(0, this.#stopping.signal)
    this.#clock = options.clock ?? systemClock
    this.#schedule = options.schedule ?? DEFAULT_SCHEDULE
    this.#maintenance = new Maintenance(this.#schedule, this.#clock, options.logger, options.upkeep ?? true)
    const { term = 0n, mayWriteUntilMs = () => Infinity, notBeforeMs = 0 } = options
    this.#fence = new Fence({ term, mayWriteUntilMs, notBeforeMs, clock: this.#clock })
    this.#store = new FencedStore(options.store, this.#fence)
  }

  /**
   * From here on the database is backed up, from its first transaction if it has none yet. Under a lease `takenOverAt` says
   * where the node began to lead, once it has looked at the backup (planTakeOver tells it; 0 for a database that came later):
   * what leaders of lower terms have shipped beyond it is set aside. Without it, that stops the uploads of the database.
   */
  add(database: LiveDatabase, options: { readonly takenOverAt?: TXID } = {}): void {
    if (this.#entries.has(database.name)) throw new Error(`database ${database.name} is backed up already`)
    const { logger, temporaryParent, onUploaded } = this.#options
    const context: DatabaseBackupContext = {
      store: this.#store,
      fence: this.#fence,
      logger,
      temporaryParent,
      clock: this.#clock,
      onUploaded: (name, txid) => {
        this.#maintenance.changed(name)
        onUploaded?.(name, txid)
      },
    }
    const backup = new DatabaseBackup(database, context, options.takenOverAt)
    const fresh = { running: undefined, failures: 0, retryAtMs: 0, lastError: undefined, reason: undefined }
    this.#entries.set(database.name, { backup, ...fresh })
    this.#maintenance.add(database.name, backup)
  }

  /** Forgets a database, after the upload under way. What was dropped needs this only once its marker is uploaded. */
  async remove(name: string): Promise<void> {
    const entry = this.#entries.get(name)
    this.#entries.delete(name)
    this.#maintenance.remove(name)
    await entry?.running
  }

  start(): void {
    this.#loop ??= this.#run()
    this.#maintenance.start()
  }

  /** Ships what is new of one database, now. Rejects with what made it fail. */
  async sync(name: string, signal: AbortSignal = this.#stopping.signal): Promise<void> {
    const entry = this.#entries.get(name)
    if (entry === undefined) throw new Error(`database ${name} is not backed up`)
    // What is under way may have begun before the caller's last commit.
    while (entry.running !== undefined) await entry.running
    await this.#begin(entry, signal)
    if (entry.failures > 0) throw new Error(entry.lastError)
  }

  status(): DatabaseBackupStatus[] {
    return [...this.#entries.values()].map(({ backup, lastError }) => {
      return { name: backup.database.name, txid: backup.uploaded, lagMs: backup.lagMs(), lastError }
    })
  }

  /** Ends all work, with one last upload of everything for at most `drainMs`. False when that did not get done. */
  async stop(options: { readonly drainMs: number }): Promise<boolean> {
    const stopped = this.#maintenance.stop()
    this.#stopping.abort(new Error('the backup service is stopping'))
    await Promise.all([stopped, this.#loop, ...[...this.#entries.values()].map(({ running }) => running)])
    const signal = AbortSignal.timeout(Math.max(1, options.drainMs))
    const pending = [...this.#entries.values()].filter(({ backup }) => !backup.isCurrent)
    if (options.drainMs > 0 && this.#fenced === undefined)
      await Promise.all(pending.map((entry) => this.#begin(entry, signal)))
    const behind = pending.filter(({ backup }) => !backup.isCurrent).map(({ backup }) => backup.database.name)
    if (behind.length > 0)
      this.#options.logger.warn({ databases: behind }, 'stopped before everything was in the backup')
    return behind.length === 0
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      const nowMs = this.#clock.now()
      for (const entry of this.#entries.values()) {
        const hasWork = !entry.backup.isCurrent || entry.backup.needsLook
        const due = hasWork && entry.running === undefined && entry.retryAtMs <= nowMs
        if (due) void this.#begin(entry, signal)
      }
      await this.#clock.sleep(this.#schedule.syncIntervalMs, signal).catch(() => undefined)
    }
  }

  /** Never rejects: the outcome is in the entry. */
  #begin(entry: Entry, signal: AbortSignal): Promise<void> {
    const running = this.#limit(() => this.#sync(entry, signal))
      .then(
        () => this.#succeeded(entry),
        (error: unknown) => this.#failed(entry, error, signal),
      )
      .finally(() => {
        if (entry.running === running) entry.running = undefined
      })
    entry.running = running
    return running
  }

  async #sync(entry: Entry, signal: AbortSignal): Promise<void> {
    if (this.#fenced !== undefined) throw this.#fenced
    await entry.backup.sync(signal)
  }

  #succeeded(entry: Entry): void {
    const { name } = entry.backup.database
    const txid = entry.backup.uploaded
    if (entry.failures > 0) {
      this.#options.logger.info(
        { db: name, ...(txid !== undefined && { txid: formatTXID(txid) }) },
        'the backup works again',
      )
    }
    entry.failures = 0
    entry.reason = undefined
    entry.lastError = undefined
    if (entry.backup.needsSnapshot) this.#maintenance.wantSnapshot(name)
  }

  /** Said once for each new reason, not each time. */
  #failed(entry: Entry, error: unknown, signal: AbortSignal): void {
    if (error instanceof BackupFencedError) this.#stopForGood(error)
    if (signal.aborted && signal === this.#stopping.signal) return
    const reason = failureReason(error)
    if (reason !== entry.reason) {
      this.#options.logger.error({ db: entry.backup.database.name, err: error }, 'the backup failed; it is retried')
    }
    entry.reason = reason
    entry.lastError = errorMessage(error)
    entry.failures++
    const pauseMs = Math.min(MAX_BACKOFF_MS, this.#schedule.syncIntervalMs * 2 ** Math.min(entry.failures, 16))
    entry.retryAtMs = this.#clock.now() + pauseMs
  }

  /** There is a later leader: whatever this one still has is for that one to judge. */
  #stopForGood(error: BackupFencedError): void {
    if (this.#fenced !== undefined) return
    this.#fenced = error
    void this.#maintenance.stop()
    this.#options.onFenced?.(error.higherTerm)
  }
}
