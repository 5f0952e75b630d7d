/** The node's backup: one store, with every database of the node that has a log. */

import type { BackupStatus, RestorableStatus } from '../api/status.ts'
import type { Measured } from '../backup/ship/database-upkeep.ts'
import { BackupService, type DatabaseBackupStatus } from '../backup/ship/service.ts'
import { configuredSchedule } from '../backup/upkeep/configured-schedule.ts'
import type { BackupConfig } from '../config/config.ts'
import type { DataDirectory } from '../data/directory.ts'
import type { Owners } from '../data/owners.ts'
import type { DataPlane, KnownDatabase } from '../dataplane/dataplane.ts'
import { listDropped } from '../log/dropped.ts'
import { LogReader } from '../log/reader.ts'
import { listLogs, logDirectory, ZERO_POSITION } from '../log/store.ts'
import type { Position, TXID } from '../ltx/format/types.ts'
import { formatTXID } from '../ltx/format/types.ts'
import { StoreUnavailableError } from '../objectstore/errors.ts'
import type { ObjectStore } from '../objectstore/objectstore.ts'
import { StoreRejectedError } from '../objectstore/s3/errors.ts'
import { openObjectStore } from '../objectstore/stores/open.ts'
import { PromptStore } from '../objectstore/stores/prompt-store.ts'
import type { Logger } from '../util/log.ts'
import { nowMs } from '../util/monotonic.ts'
import { modesOf } from '../util/private-files.ts'
import { hydrateMissing, type HydrationOptions, isIncomplete, reconcileAll } from './hydration.ts'
import { LateComparison } from './late-comparison.ts'
import { shipAll } from './ship-all.ts'
import type { TakenOver } from './taken-over.ts'

/** The lease under which a node writes to its backup. */
export interface BackupLease {
  readonly term: bigint
  /** On the monotonic clock: until then, uploads of the previous holder may still arrive. */
  readonly notBeforeMs: number
  /** Each database that existed when the node took over, with its position. */
  readonly takenOver: ReadonlyMap<string, TakenOver>
}

/** How long uploads that are under way may take when the node stops, beyond the time that it has for that. */
const MIN_DRAIN_MS = 100
/** A database that did not exist when the node took over. */
const NEW: TakenOver = { at: 0n as TXID, isBackedUp: false }
/** How often dropped databases are looked at whose backup may need no upkeep any more. */
const FORGET_MS = 60_000

export class NodeBackup {
  readonly #config: BackupConfig
  readonly #data: DataDirectory
  readonly #owners: Owners
  readonly #logger: Logger
  readonly #temporaryParent: string
  readonly store: ObjectStore
  /** Present while this node leads. */
  #service: BackupService | undefined
  /** Aborts the store operations that the service waits for. */
  #waiting = new AbortController()
  #comparison: LateComparison | undefined
  #lease: BackupLease | undefined
  #ledAtMs = 0
  readonly #uploadedUpTo = new Map<string, TXID>()
  readonly #added = new Set<string>()
  /** Databases of which only the position of their drop remains here, until their backup needs no upkeep any more. */
  readonly #dropped = new Map<string, Position>()
  #plane: DataPlane | undefined
  #forgetting: NodeJS.Timeout | undefined

  constructor(config: BackupConfig, data: DataDirectory, owners: Owners, logger: Logger) {
    this.#config = config
    this.#data = data
    this.#owners = owners
    this.#logger = logger
    this.store = new PromptStore(
      openObjectStore(config.url, {
        ...{ modes: modesOf(config.mode), changed: (message: string) => logger.warn(message) },
        memory: { files: data.files, path: `${data.dir}/backup.json` },
      }),
    )
    this.#temporaryParent = data.files.at(`${data.dir}/temporary`)
    data.files.removeTree(`${data.dir}/temporary`)
    data.files.makeDirectory(`${data.dir}/temporary`)
  }

  /**
   * Called before recovery: restores the databases that only the backup has. A node with all its databases starts
   * without a store that does not answer or rejects it. So does a node with peers, which reads the backup again before
   * it leads.
   * Returns why a database must not be served, by its name.
   */
  async hydrate(
    signal: AbortSignal | undefined,
    { hasPeers }: { hasPeers: boolean },
  ): Promise<ReadonlyMap<string, string>> {
    const hadDatabases = listLogs(this.#data.files, this.#data.dir).length > 0
    const mayDoWithout = () => hasPeers || (hadDatabases && !isIncomplete(this.#data))
    return (await this.#unlessUnavailable(hydrateMissing(this.#hydration(signal)), mayDoWithout)) ?? new Map()
  }

  /** For a node without peers, after recovery and before the mount: reconciles with the backup, and starts shipping. */
  async begin(plane: DataPlane, signal: AbortSignal | undefined): Promise<void> {
    await this.#unlessUnavailable(reconcileAll(this.#hydration(signal), plane))
    this.lead(plane, undefined)
  }

  /** This node leads: it ships new transactions, and those that its predecessor did not ship. */
  lead(plane: DataPlane, lease: BackupLease | undefined): void {
    this.#lease = lease
    this.#plane = plane
    this.#ledAtMs = nowMs()
    // These positions may date from before other nodes led.
    this.#uploadedUpTo.clear()
    for (const [name, { at, isBackedUp }] of lease?.takenOver ?? []) if (isBackedUp) this.#uploadedUpTo.set(name, at)
    this.#waiting = new AbortController()
    const { signal } = this.#waiting
    this.#comparison = new LateComparison({ store: new PromptStore(this.store, signal), logger: this.#logger, signal })
    this.#service = new BackupService({
      store: new PromptStore(this.store, signal),
      logger: this.#logger,
      temporaryParent: this.#temporaryParent,
      schedule: configuredSchedule(this.#config),
      upkeep: this.#config.compaction === 'daemon',
      onUploaded: (name, txid) => this.#uploadedUpTo.set(name, txid),
      ...(lease && {
        term: lease.term,
        notBeforeMs: lease.notBeforeMs,
        mayWriteUntilMs: () => Number(plane.shared.deadlineNs) / 1e6,
      }),
    })
    for (const database of plane.databases.values()) this.appeared(database)
    for (const [name, drop] of listDropped(this.#data.files, this.#data.dir)) this.#addDropped(name, drop)
    this.#service.start()
    this.#forgetting = setInterval(() => this.#forgetSettled(), FORGET_MS).unref()
  }

  /** A database is new, or its state has changed. */
  appeared({ name, rejection }: KnownDatabase): void {
    if (rejection !== undefined) return
    this.#dropped.delete(name)
    this.#add(name)
  }

  /** Only the position of its drop remains. Its backup is looked after as long as something in it can go. */
  released(name: string, drop: Position): void {
    if (this.#added.has(name)) this.#dropped.set(name, drop)
  }

  #addDropped(name: string, drop: Position): void {
    if (this.#added.has(name)) return
    this.#dropped.set(name, drop)
    this.#add(name)
  }

  #forgetSettled(): void {
    for (const name of this.#dropped.keys()) {
      if (this.#service?.isSettled(name) !== true) continue
      this.#dropped.delete(name)
      this.#added.delete(name)
      this.#uploadedUpTo.delete(name)
      void this.#service.remove(name)
    }
  }

  /** A database that this node did not lead before. */
  resume(name: string, takenOver: TakenOver): void {
    if (this.#lease !== undefined)
      this.#lease = { ...this.#lease, takenOver: new Map([...this.#lease.takenOver, [name, takenOver]]) }
    if (takenOver.isBackedUp) this.#uploadedUpTo.set(name, takenOver.at)
    this.#add(name)
  }

  #add(name: string): void {
    if (this.#service === undefined || this.#added.has(name) || this.#isWithheld(name)) return
    this.#added.add(name)
    // Looked up by name each time: the database may be dropped, released, and made again.
    const position = () =>
      this.#dropped.get(name) ?? this.#plane?.databases.get(name)?.state().position ?? ZERO_POSITION
    const log = new LogReader(this.#data.files, name, logDirectory(this.#data.dir, name), position)
    const database = {
      name,
      log,
      filePath: `${this.#data.root}/${name}`,
      files: this.#data.files,
      shape: () => {
        const { pageSize = 0, sizePages = 0 } = this.#plane?.databases.get(name)?.state() ?? {}
        return { pageSize, commit: sizePages }
      },
      owner: () => this.#owners.of(name),
    }
    const { takenOver } = this.#lease ?? {}
    const { at, isBackedUp, toCompare } = takenOver?.get(name) ?? NEW
    if (toCompare === undefined) return this.#service.add(database, takenOver && { takenOverAt: at })
    const service = this.#service
    this.#comparison?.begin(log, { at, isBackedUp }, toCompare, (compared) => {
      if (service !== this.#service || !this.#added.has(name)) return
      if (compared.isBackedUp) this.#uploadedUpTo.set(name, at)
      service.add(database, { takenOverAt: compared.at })
    })
  }

  /** Resolves when every database that this node took over has been compared with the backup, or with the signal. */
  async compared(signal: AbortSignal): Promise<void> {
    await this.#comparison?.settled(signal)
  }

  /** The last transaction in the backup; undefined while another node ships, so that the log does not wait for it. */
  uploaded(name: string): TXID | undefined {
    return this.#service === undefined ? undefined : this.lastUploaded(name)
  }

  /** The last transaction that this node knows to be in the backup; 0 when it knows of none. */
  lastUploaded = (name: string): TXID => this.#uploadedUpTo.get(name) ?? (0n as TXID)

  status(): Map<string, BackupStatus> {
    const status = new Map<string, BackupStatus>()
    for (const shipped of this.#service?.status() ?? []) status.set(shipped.name, backupStatus(shipped))
    for (const [name, problem] of this.#plane?.withheld.reasons ?? []) {
      status.set(name, { txid: formatTXID(0n as TXID), lagMs: 0, problem })
    }
    // They are still to be compared.
    const lagMs = nowMs() - this.#ledAtMs
    for (const name of this.#added) if (!status.has(name)) status.set(name, { txid: formatTXID(0n as TXID), lagMs })
    return status
  }

  /** Nothing of it is shipped: what the backup has may be newer. */
  #isWithheld(name: string): boolean {
    return this.#plane?.withheld.reasons.has(name) === true
  }

  /** Whether the backup is known to have every committed transaction. */
  hasAll(plane: DataPlane): boolean {
    return Array.from(plane.databases.values()).every(({ name, state }) => {
      const { txid } = state().position
      return txid === 0n || this.#uploadedUpTo.get(name) === txid
    })
  }

  /** Ships every committed transaction. Tries again until the signal ends it, and rejects at once then. */
  async ship(signal: AbortSignal): Promise<void> {
    await this.compared(signal)
    await shipAll(() => ({ service: this.#service, names: [...this.#added] }), signal)
  }

  /** Another node leads from now on, so this node ships nothing more. */
  async stepDown(): Promise<void> {
    await this.#end(0)
  }

  /** Ships the remaining transactions, if this node still leads. */
  async stop(withinMs: number): Promise<void> {
    const time = AbortSignal.timeout(Math.max(1, Math.ceil(withinMs)))
    if (this.#plane !== undefined && !this.hasAll(this.#plane)) await this.ship(time).catch(() => {})
    await this.#service?.finish(time)
    await this.#end(MIN_DRAIN_MS)
    await this.store.close()
  }

  #hydration(signal: AbortSignal | undefined): HydrationOptions {
    return { store: this.store, data: this.#data, owners: this.#owners, logger: this.#logger, signal }
  }

  async #unlessUnavailable<T>(work: Promise<T>, mayDoWithout = () => true): Promise<T | undefined> {
    try {
      return await work
    } catch (error) {
      const isRejected = error instanceof StoreRejectedError
      if ((!isRejected && !(error instanceof StoreUnavailableError)) || !mayDoWithout()) throw error
      const problem = isRejected ? 'rejects this node' : 'does not answer'
      this.#logger.warn({ err: error }, `starting without the backup, which ${problem}: it is retried later`)
      return undefined
    }
  }

  async #end(drainMs: number): Promise<void> {
    if (drainMs > 0) await this.compared(AbortSignal.timeout(drainMs))
    const service = this.#service
    this.#service = undefined
    this.#added.clear()
    this.#dropped.clear()
    clearInterval(this.#forgetting)
    const end = () => this.#waiting.abort(new Error('this node ships nothing more'))
    const late = setTimeout(end, drainMs)
    if (drainMs === 0) end()
    await service?.stop({ drainMs })
    clearTimeout(late)
  }
}

function backupStatus(shipped: DatabaseBackupStatus): BackupStatus {
  const { txid, lagMs, lastError, problem, measured, unverifiedMs } = shipped
  return {
    ...{ txid: formatTXID(txid ?? (0n as TXID)), lagMs },
    ...(lastError !== undefined && { lastError }),
    ...(problem !== undefined && { problem }),
    ...(measured && { restorable: restorableStatus(measured) }),
    unverifiedMs,
  }
}

function restorableStatus({ sinceMs, atMs }: Measured): RestorableStatus {
  return { ...(sinceMs !== undefined && { sinceMs }), verifiedAtMs: atMs }
}
