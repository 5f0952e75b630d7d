import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { Sharing } from '../capture/events.ts'
import { Proof } from '../capture/proof.ts'
import type { MountedDevice } from '../fuse/host/own-mount.ts'
import { droppedAt } from '../log/dropped.ts'
import { logDirectory, ZERO_POSITION } from '../log/store.ts'
import type { Position } from '../ltx/format/types.ts'
import { LtxdError } from '../util/errors.ts'
import type { Files } from '../util/files.ts'
import { filesBeneath } from '../util/files-beneath.ts'
import { Connection } from './connection.ts'
import { HelperThreads, type HelperThreadsOptions } from './helper-threads.ts'
import type { KnownDatabase, WalObserver } from './known-database.ts'
import type { DataPlaneData, FromDataPlane, ToDataPlane } from './messages.ts'
import { PlainFiles } from './plain-files.ts'
import { SharedState } from './shared-state.ts'
import { Tenants } from './tenants.ts'
import { WithheldDatabases } from './withheld.ts'

export type { KnownDatabase } from './known-database.ts'

type ThreadData = Omit<DataPlaneData, 'shared' | 'withheld' | 'syncs' | 'delays' | 'keepAwake'>

export interface DataPlaneOptions extends ThreadData, Omit<HelperThreadsOptions, 'syncFailed'> {
  /** A database is new, or its state has changed. */
  readonly appeared: (database: KnownDatabase) => unknown
  /** A dropped database is known no more: only the position of its drop remains (log/dropped.ts). */
  readonly released: (database: string, drop: Position) => void
  /** The owner or the mode of a database's file has changed. */
  readonly ownerChanged: (database: string) => void
}

/** The control plane's handle of the data plane's thread. */
export class DataPlane {
  readonly databases = new Map<string, KnownDatabase>()
  /** Databases that were recovered without reading all of them. */
  readonly unproven = new Map<string, Proof>()
  /** Databases that more than one connection has open in WAL mode. */
  readonly sharing = new Map<string, Sharing>()
  /** Databases of which some pages were only in the WAL. Who finds one whole removes it. */
  readonly behind = new Set<string>()
  /** How often the owner or the mode of each database's file has changed. */
  readonly ownerChanges = new Map<string, number>()
  /** Why the log of each database rejects everything, where it does. */
  readonly failedLogs = new Map<string, string>()
  /** Databases that are served as plain files, because no log can hold them. */
  readonly unreplicated = new Set<string>()
  /** Resolves when the thread has ended; rejects when it failed. */
  readonly ended: Promise<void>
  readonly shared = new SharedState()
  /** Databases that this node does not lead although it leads. */
  readonly withheld = new WithheldDatabases()
  readonly #tenants = new Tenants(this.shared)
  readonly #plainFiles = new PlainFiles((message, fields) => this.#options.log('warn', message, fields))
  readonly #worker: Worker
  readonly #helpers: HelperThreads
  readonly #options: DataPlaneOptions
  readonly #files: Files
  #recovered: (() => void) | undefined
  #connection: Connection | undefined
  /** The number of messages about databases so far. */
  #heard = 0
  #observer: WalObserver | undefined
  #turn: NodeJS.Timeout | undefined

  constructor(options: DataPlaneOptions) {
    this.#options = options
    const { dataDir, at, root, mountDir, modes, segmentSizeBytes, nodeId, filter, replicaWrites } = options
    this.#files = filesBeneath(dataDir, modes, at)
    this.#helpers = new HelperThreads({ ...options, syncFailed: () => this.takeTurn() })
    const workerData: DataPlaneData = {
      ...{ shared: this.shared.buffer, withheld: this.withheld.buffer, ...this.#helpers.memory },
      ...{ dataDir, at, root, mountDir, modes, segmentSizeBytes, nodeId, filter, replicaWrites },
    }
    this.#worker = new Worker(fileURLToPath(new URL('./dataplane.js', import.meta.url)), { workerData })
    this.#worker.on('message', (message: FromDataPlane) => this.#receive(message))
    this.ended = new Promise((resolve, reject) => {
      this.#worker.on('error', reject)
      this.#worker.on('exit', () => resolve())
    })
    this.ended.catch(() => {})
  }

  /** ZERO_POSITION for an unknown database. A dropped one may be known by the position of its drop only. */
  position(database: string): Position {
    return this.databases.get(database)?.state().position ?? this.droppedAt(database) ?? ZERO_POSITION
  }

  /** Of a database of which nothing else remains. */
  droppedAt(database: string): Position | undefined {
    return droppedAt(this.#files, logDirectory(this.#options.dataDir, database))
  }

  /** The database is not served any more. The data plane already knows it from the database’s proof. */
  reject(name: string, rejection: string): void {
    const known = this.databases.get(name)
    if (known !== undefined) this.databases.set(name, { ...known, rejection })
  }

  /** Nothing needs the log of this dropped database any more, and its drop is durable without it. */
  allowRelease(database: string, { txid }: Position): void {
    const slot = this.#tenants.slotOf(this.databases.get(database)?.state)
    if (slot !== undefined) this.shared.allowRelease(slot, txid)
    this.takeTurn()
  }

  /** Commits to the database come at most one in so many milliseconds. 0: as they come. */
  paceCommits(database: string, intervalMs: number): void {
    const slot = this.#tenants.slotOf(this.databases.get(database)?.state)
    if (slot !== undefined) this.#helpers.paceCommits(slot, intervalMs)
  }

  /** Recovers all databases, or one again after its files were replaced. */
  async recover(database?: string): Promise<void> {
    const done = new Promise<void>((resolve) => (this.#recovered = resolve))
    if (database !== undefined) this.unproven.delete(database)
    this.#send(database === undefined ? { type: 'recover' } : { type: 'recover-again', database })
    await Promise.race([done, this.ended])
  }

  /** Before `serve`: the database, which may not exist, is not served for this reason. */
  async rejectAtStart(database: string, reason: string): Promise<void> {
    const done = new Promise<void>((resolve) => (this.#recovered = resolve))
    this.#send({ type: 'reject', database, reason })
    await Promise.race([done, this.ended])
  }

  /**
   * Serves the mounted device until it is unmounted, or `stop`. `generation` is that of its inode numbers. Resolves
   * when applications can use the mount.
   */
  async serve(mountDir: string, device: MountedDevice, generation: number): Promise<void> {
    const connection = (this.#connection = new Connection(device))
    const { device: deviceFd, bell, at } = device
    this.#send({ type: 'serve', deviceFd, generation, isBridge: bell !== undefined, mounted: at?.entry.device })
    this.#helpers.start(this.shared.buffer, device.device)
    await connection.hang(mountDir, this.ended)
  }

  /**
   * Ends commits by applications. Resolves when the last commit has been answered, and the control plane knows of every
   * commit. Throws LtxdError when a commit hangs: it may still be acknowledged later.
   */
  async fence(timeoutMs: number): Promise<void> {
    const { shared } = this
    shared.leads = false
    const deadline = performance.now() + timeoutMs
    let ended = await shared.commitEnded(timeoutMs)
    while (ended && this.#heard < shared.announced) {
      await new Promise((resolve) => setImmediate(resolve))
      ended = performance.now() < deadline
    }
    if (ended) return
    throw new LtxdError(
      'COMMIT_HANGS',
      `a commit has been under way for ${timeoutMs} ms: check the disk below the data directory`,
    )
  }

  /** The file on the mount through which a process of this user reaches the serving thread. */
  announcementsPath(mountDir: string): string {
    return `${mountDir}/${this.#connection?.doorbellName ?? ''}`
  }

  /** `major:minor` of the mount. */
  get mountDevice(): string | undefined {
    return this.#connection?.device.at?.entry.device
  }

  /** Resolves when this node has no file on the mount open, which can then be unmounted. */
  async releaseMount(): Promise<void> {
    await this.#connection?.release()
  }

  /**
   * Called before the mount is detached while files on it are open. Ends all writes, makes sure that `stop` still
   * reaches the thread when no path leads to the mount any more, and that nobody reads on in what the kernel has
   * cached.
   */
  async cutOff(mountDir: string): Promise<void> {
    const { shared, ended } = this
    shared.leads = false
    await this.#connection?.requestCutOff(
      mountDir,
      () => shared.requestCutOff(),
      ended.catch(() => undefined),
    )
  }

  /** Waits for the current request, makes everything durable, and ends all threads. Rejects if the main one failed. */
  async stop(): Promise<void> {
    this.shared.requestStop()
    if (this.#connection === undefined) await this.#worker.terminate()
    else this.#connection.ring()
    try {
      await this.ended
    } finally {
      this.#plainFiles.flush()
      await this.#helpers.allSent()
      await this.releaseMount()
      this.#connection?.close()
      await this.#helpers.terminate()
    }
  }

  /** Has the data plane do what waits, and look at the shared memory. */
  takeTurn(): void {
    this.shared.requestTurn()
    this.#connection?.ring()
  }

  /** The data plane asks again in each turn that comes too early for something. */
  #takeTurnIn(ms: number): void {
    if (this.#turn !== undefined) return
    this.#turn = setTimeout(() => {
      this.#turn = undefined
      this.takeTurn()
    }, ms).unref()
  }

  observe(observer: WalObserver): void {
    this.#observer = observer
  }

  #release(name: string, slot: number): void {
    const { position } = this.#tenants.end(slot)
    for (const key of ['databases', 'unproven', 'sharing', 'behind', 'ownerChanges', 'failedLogs'] as const)
      this[key].delete(name)
    this.#options.released(name, position)
    this.shared.wake()
  }

  #send(message: ToDataPlane): void {
    this.#worker.postMessage(message)
  }

  #receive(message: FromDataPlane): void {
    switch (message.type) {
      case 'recovered':
        return this.#recovered?.()
      case 'log':
        return this.#options.log(message.level, message.message, message.fields)
      case 'database': {
        this.#heard++
        const { name, slot, rejection } = message
        const known = { name, rejection, state: this.#tenants.stateOf(slot) }
        this.databases.set(name, known)
        this.#options.appeared(known)
        // The slot was published before this message arrived.
        this.shared.wake()
        return
      }
      case 'released':
        return this.#release(message.name, message.slot)
      case 'unproven':
        this.unproven.set(message.database, new Proof(message.proof))
        return
      case 'sharing':
        if (message.sharing === 'sole') this.sharing.delete(message.database)
        else this.sharing.set(message.database, message.sharing)
        return this.#observer?.sharing(message.database, message.sharing)
      case 'behind':
        return void this.behind.add(message.database)
      case 'guarded':
        return this.#observer?.guarded(message.database)
      case 'unexplained':
        return this.#observer?.unexplained(message.database)
      case 'owner':
        this.ownerChanges.set(message.database, (this.ownerChanges.get(message.database) ?? 0) + 1)
        this.#options.ownerChanged(message.database)
        this.shared.wake()
        return
      case 'unreplicated':
        if (message.isUnreplicated) this.unreplicated.add(message.database)
        else this.unreplicated.delete(message.database)
        return
      case 'log-failed':
        if (message.reason === undefined) this.failedLogs.delete(message.database)
        else this.failedLogs.set(message.database, message.reason)
        return
      case 'plain-file':
        return this.#plainFiles.add(message.file)
      case 'later':
        return this.#takeTurnIn(message.inMs)
      case 'invalidate':
        return this.#connection?.invalidateInode(message.node)
      case 'cut-off':
        return void this.#connection?.cutOff(message.files, message.walIndexes)
      case 'forget':
        return this.#connection?.invalidateEntry(message.parent, message.name)
      case 'stopped':
    }
  }
}
