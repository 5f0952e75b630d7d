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
import { Catalog } from './catalog.ts'
import { DatabaseBackup, type DatabaseBackupContext } from './database-backup.ts'
import type { Measured } from './database-upkeep.ts'
import { Fence } from './fence.ts'
import { FencedStore } from './fenced-store.ts'
import type { LiveDatabase } from './live-snapshot.ts'
import { LocalCopies } from './local-copies.ts'

export interface BackupServiceOptions {
  readonly store: ObjectStore
  readonly logger: BackupLogger
  /** Where live databases are copied to for snapshots; best on the databases' file system. */
  readonly temporaryParent: string
  readonly schedule?: BackupSchedule
  /**
   * False: workers do compaction, periodic snapshots and retention. The service still makes the snapshots an upload
   * needs.
   */
  readonly upkeep?: boolean
  readonly clock?: Clock
  /** The term of the lease under which this node writes; 0 or absent: there is no lease, and no other writer. */
  readonly term?: bigint
  /** The lease's deadline on the monotonic clock (see Clock), read at each use. Absent without a lease. */
  readonly mayWriteUntilMs?: () => number
  /**
   * On the monotonic clock: nothing is written before. The previous holder's deadline plus UPLOAD_TIMEOUT_MS; 0 where
   * it released the lease, or there was no holder.
   */
  readonly notBeforeMs?: number
  /** Called once when a leader of a higher term has written to the backup. Nothing is written afterwards. */
  readonly onFenced?: (higherTerm: bigint) => void
  /** The backup holds this database up to this transaction, so its log need not retain it for the backup. */
  readonly onUploaded?: (name: string, txid: TXID) => void
}

export interface DatabaseBackupStatus {
  readonly name: string
  /** The last transaction in the backup; undefined until the backup has been reached once. */
  readonly txid: TXID | undefined
  /** No transaction older than this is missing from the backup; 0 when none is. */
  readonly lagMs: number
  /** Why the last attempt failed; undefined after a success. */
  readonly lastError: string | undefined
  /** Damage of the backup that is not healed yet, or why its upkeep fails; undefined when all is well. */
  readonly problem: string | undefined
  /** The last measurement that found the newest state restorable; undefined before. */
  readonly measured: Measured | undefined
  /** The time since that measurement, or since this node ships the database. */
  readonly unverifiedMs: number
}

interface Entry {
  readonly backup: DatabaseBackup
  /** The running upload. */
  running: Promise<void> | undefined
  failures: number
  retryAtMs: number
  lastError: string | undefined
  /** The reason of the last failure, until an attempt succeeds. */
  reason: string | undefined
}

const MAX_CONCURRENT_UPLOADS = 8
const MAX_BACKOFF_MS = 30_000

/**
 * Brings the backup of a node's databases up to date: ships new commits each sync interval, makes snapshots,
 * compacts, and applies retention. A failing store is reported once for each database and retried with growing
 * pauses; when it works again, uploads resume by themselves.
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
  /** All writes go through its store. */
  readonly #catalog: Catalog
  readonly #copies: LocalCopies
  #fenced: BackupFencedError | undefined
  #loop: Promise<void> | undefined

  constructor(options: BackupServiceOptions) {
    this.#options = options
    // Each running and each queued upload listens.
    setMaxListeners(0, this.#stopping.signal)
    this.#clock = options.clock ?? systemClock
    this.#schedule = options.schedule ?? DEFAULT_SCHEDULE
    const { term = 0n, mayWriteUntilMs = () => Infinity, notBeforeMs = 0 } = options
    this.#fence = new Fence({ term, mayWriteUntilMs, notBeforeMs, clock: this.#clock })
    const { logger, upkeep = true, temporaryParent } = options
    this.#copies = new LocalCopies(temporaryParent)
    const copiedLevels = upkeep ? this.#schedule.levels.length : 0
    this.#catalog = new Catalog(new FencedStore(options.store, this.#fence), this.#clock, this.#copies, copiedLevels)
    this.#maintenance = new Maintenance(this.#schedule, this.#clock, logger, this.#catalog, upkeep)
  }

  /**
   * Begins to back up a database, from its first transaction if the backup has none. Under a lease, `takenOverAt` is
   * where this node began to lead (from planTakeOver; 0 for a database created later): objects of lower terms beyond
   * it are set aside. Without it, such objects stop the uploads of the database.
   */
  add(database: LiveDatabase, options: { readonly takenOverAt?: TXID } = {}): void {
    if (this.#entries.has(database.name)) throw new Error(`database ${database.name} is already backed up`)
    const { logger, temporaryParent, onUploaded } = this.#options
    const context: DatabaseBackupContext = {
      catalog: this.#catalog,
      schedule: this.#schedule,
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
    this.#maintenance.add(database.name, backup.upkeep)
  }

  /** Forgets a database after its running upload. A dropped database must first have its marker uploaded. */
  async remove(name: string): Promise<void> {
    const entry = this.#entries.get(name)
    this.#entries.delete(name)
    this.#maintenance.remove(name)
    await entry?.running
    this.#catalog.forget(name)
  }

  /** Everything is shipped, and without new transactions nothing will be left to do. */
  isSettled(name: string): boolean {
    const entry = this.#entries.get(name)
    if (entry === undefined || entry.running !== undefined || entry.failures > 0) return false
    return entry.backup.isCurrent && !entry.backup.needsCheck && this.#maintenance.isSettled(name)
  }

  start(): void {
    this.#loop ??= this.#run()
    this.#maintenance.start()
  }

  /** Ships the new transactions of one database now. Rejects with the failure. */
  async sync(name: string, signal: AbortSignal = this.#stopping.signal): Promise<void> {
    const entry = this.#entries.get(name)
    if (entry === undefined) throw new Error(`database ${name} is not backed up`)
    // The running upload may have begun before the caller's last commit.
    while (entry.running !== undefined) await entry.running
    await this.#begin(entry, signal)
    if (entry.failures > 0) throw new Error(entry.lastError)
  }

  /**
   * Called before a clean stop, when everything is shipped: prepares the backup for a program that continues it in this
   * node's place. Does what it can until the signal ends it.
   */
  async finish(signal: AbortSignal): Promise<void> {
    if (this.#fenced !== undefined || signal.aborted) return
    // An upload that hangs ends with the service.
    const ended = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    const finishing = [...this.#entries.values()].map(async (entry) => {
      while (entry.running !== undefined && !signal.aborted) await Promise.race([entry.running, ended])
      if (signal.aborted) return
      const { name: database } = entry.backup.database
      const running = this.#limit(() => entry.backup.finish(signal))
        .catch((error: unknown) =>
          this.#options.logger.debug({ database, err: error }, 'the newest transaction has no file of its own'),
        )
        .finally(() => {
          if (entry.running === running) entry.running = undefined
        })
      entry.running = running
      await Promise.race([running, ended])
    })
    await Promise.all(finishing)
  }

  status(): DatabaseBackupStatus[] {
    return [...this.#entries.values()].map(({ backup, lastError }) => {
      const { name } = backup.database
      const problem = backup.problem ?? this.#maintenance.problemOf(name)
      const { measured, unverifiedMs } = backup.upkeep
      return { name, txid: backup.uploaded, lagMs: backup.lagMs(), lastError, problem, measured, unverifiedMs }
    })
  }

  /** Stops all work after one last upload of everything, for at most `drainMs`. False when that did not finish. */
  async stop(options: { readonly drainMs: number }): Promise<boolean> {
    const stopped = this.#maintenance.stop()
    this.#stopping.abort(new Error('the backup service is stopping'))
    await Promise.all([stopped, this.#loop, ...[...this.#entries.values()].map(({ running }) => running)])
    const signal = AbortSignal.timeout(Math.max(1, options.drainMs))
    const pending = [...this.#entries.values()].filter(({ backup }) => !backup.isCurrent)
    if (options.drainMs > 0 && this.#fenced === undefined)
      await Promise.all(pending.map((entry) => this.#begin(entry, signal)))
    await this.#copies.close()
    const behind = pending.filter(({ backup }) => !backup.isCurrent).map(({ backup }) => backup.database.name)
    if (behind.length > 0)
      this.#options.logger.warn(
        { databases: behind },
        'stopped before the backup held every commit: the next start ships the rest',
      )
    return behind.length === 0
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      const nowMs = this.#clock.monotonicMs()
      for (const entry of this.#entries.values()) {
        const hasWork = !entry.backup.isCurrent || entry.backup.needsCheck
        const due = hasWork && entry.running === undefined && entry.retryAtMs <= nowMs
        if (due) void this.#begin(entry, signal)
      }
      await this.#clock.sleep(this.#schedule.syncIntervalMs, signal).catch(() => undefined)
    }
  }

  /** Never rejects: the outcome is recorded in the entry. */
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
        { database: name, ...(txid !== undefined && { txid: formatTXID(txid) }) },
        'the backup works again',
      )
    }
    entry.failures = 0
    entry.reason = undefined
    entry.lastError = undefined
    if (entry.backup.needsSnapshot) this.#maintenance.requestSnapshot(name)
  }

  /** Logs each new reason once. */
  #failed(entry: Entry, error: unknown, signal: AbortSignal): void {
    if (error instanceof BackupFencedError) this.#stopForGood(error)
    if (signal.aborted && signal === this.#stopping.signal) return
    const reason = failureReason(error)
    if (reason !== entry.reason) {
      const { name: database } = entry.backup.database
      this.#options.logger.error({ database, err: error }, 'the backup failed; it is retried')
    }
    entry.reason = reason
    entry.lastError = errorMessage(error)
    entry.failures++
    const pauseMs = Math.min(MAX_BACKOFF_MS, this.#schedule.syncIntervalMs * 2 ** Math.min(entry.failures, 16))
    entry.retryAtMs = this.#clock.monotonicMs() + pauseMs
  }

  /** A later leader exists: it decides about any object this node still ships. */
  #stopForGood(error: BackupFencedError): void {
    if (this.#fenced !== undefined) return
    this.#fenced = error
    void this.#maintenance.stop()
    this.#options.onFenced?.(error.higherTerm)
  }
}
