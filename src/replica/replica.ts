import { setTimeout as sleep } from 'node:timers/promises'
import type { DatabaseOwner } from '../data/database-owner.ts'
import type { DataDirectory } from '../data/directory.ts'
import type { Owners } from '../data/owners.ts'
import { Spool } from '../data/spool.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import type { TXID } from '../ltx/format/types.ts'
import { StreamClient } from '../stream/replica/client.ts'
import { LtxdError } from '../util/errors.ts'
import type { Logger } from '../util/log.ts'
import type { NodeAddress } from '../util/node-address.ts'
import { before } from '../util/waits.ts'
import { advance, type AdvanceTo } from './advance.ts'
import { ReplicaDatabases } from './databases.ts'
import { HUNG_MS, unlessHung, unlessSilent } from './hung.ts'
import { Lag, SILENT_MS } from './lag.ts'
import { Resyncs } from './resyncs.ts'
import { ReplicaSink } from './sink.ts'
import type { ReplicationStatus } from './status.ts'

export interface ReplicaOptions {
  readonly data: DataDirectory
  readonly plane: DataPlane
  readonly mountDir: string
  readonly self: NodeAddress
  /** Whether this node may be made the successor of its primary. */
  readonly candidate: boolean
  readonly owners: Owners
  readonly reconnectMs: number
  readonly spoolBytes: number | undefined
  readonly logger: Logger
  /** An application holds a lock that the local client needs. */
  readonly heldUp: () => void
  /** This node has everything that the primary had when the stream started. */
  readonly caughtUp: (term: bigint | undefined) => void
}

export interface ReplicaStatus {
  readonly connected: boolean
  /** While not connected: when the primary was last heard, or, if never, when this node began to follow. */
  readonly disconnectedAtMs?: number
  /** Absent while it is not known. */
  readonly lagMs?: number
  readonly lastError?: string
}

const RESTART_CLIENT_MS = 200
/** How long received transactions may take to be applied when the node stops following. */
const DRAIN_MS = 2_000
const POLL_MS = 50

/**
 * A node while it does not lead. The local client applies what the primary streams, and the data plane rejects what
 * applications write. A database that cannot continue resyncs with a snapshot; transactions that only this node has
 * move to `diverged/` first.
 */
export class Replica {
  readonly #options: ReplicaOptions
  readonly #logger: Logger
  readonly #spool: Spool
  readonly #databases: ReplicaDatabases
  readonly #sink: ReplicaSink
  readonly #resyncs = new Resyncs((name) => this.#requestSnapshot(name))
  readonly #lag = new Lag()
  readonly #startedAtMs = Date.now()
  readonly #lagTimer = setInterval(() => this.#publishLag(), SILENT_MS / 2)
  #stream: StreamClient | undefined
  #following: { readonly primary: NodeAddress; readonly term: bigint } | undefined
  #stopped = false
  #work: Promise<void> = Promise.resolve()
  /** Resolves when the local client has carried out every order so far, or has ended. */
  readonly idle = () => this.#sink.idle()

  constructor(options: ReplicaOptions) {
    const { data, plane, mountDir, self, candidate, owners, logger } = options
    this.#options = options
    this.#logger = logger
    const spool = (this.#spool = new Spool(data.files, `${data.dir}/temporary`, options.spoolBytes))
    const databases = (this.#databases = new ReplicaDatabases({
      ...{ data, plane, mountDir, owners, logger, heldUp: options.heldUp },
      applied: (name, position) => this.#stream?.acknowledge(name, position),
      broken: (name, reason) => this.#resync(name, reason),
      lost: () => this.#clientLost(),
    }))
    this.#sink = new ReplicaSink({
      ...{ self, candidate, data, plane, databases, spool, logger },
      caughtUp: (term) => options.caughtUp(term),
      alive: (lagMs) => this.#alive(lagMs),
      resynced: (name) => this.#resyncs.healed(name),
    })
  }

  /** Opens the databases of this node. From now on only the primary's transactions are written to them. */
  start(): Promise<void> {
    return this.#enqueue(() => this.#open())
  }

  /** Follows this primary instead of the previous one, if any. */
  follow(primary: NodeAddress, term: bigint): Promise<void> {
    return this.#enqueue(async () => {
      await this.#leave()
      this.#following = { primary, term }
      this.#connect()
    })
  }

  /** Stops following. */
  leave(): Promise<void> {
    return this.#enqueue(() => this.#leave())
  }

  /**
   * Applies the received transactions, takes all write locks, and releases them. In between, `beforeRelease` makes this
   * node the primary, if it is to be: an application that waited for a lock is allowed to write when it gets it.
   */
  async stop(beforeRelease = () => {}): Promise<void> {
    this.#databases.interrupt()
    await unlessHung(this.#databases, HUNG_MS.stopping, this.leave())
    await this.drain()
    this.#stopped = true
    clearInterval(this.#lagTimer)
    await this.#enqueue(async () => {
      try {
        await this.#databases.finish()
        beforeRelease()
      } finally {
        await this.#databases.close()
      }
    })
    this.#options.plane.shared.lagMs = undefined
    this.#spool.clear()
  }

  /** Resolves when all received transactions are applied, or after a time limit. */
  readonly drain = () => before(this.idle(), DRAIN_MS)

  /** This node stops. Resolves with whether the primary knows, and will not make it the successor. */
  async announceLeaving(withinMs: number): Promise<boolean> {
    return (await this.#stream?.leave(withinMs)) ?? false
  }

  /** Why this node must not lead: one of its databases needs a snapshot. undefined when it may lead. */
  unfit(): string | undefined {
    for (const { name, broken } of this.#databases.all()) {
      if (broken !== undefined) return `database ${name} waits for a snapshot (${broken})`
    }
    return this.#heldUp()
  }

  /** Resolves when everything that was received is applied. Rejects when a local process holds it up, or the signal. */
  applied(signal: AbortSignal): Promise<void> {
    return unlessSilent(this.#databases, HUNG_MS.leading, this.#applied(signal))
  }

  async #applied(signal: AbortSignal): Promise<void> {
    await this.drain()
    while (Array.from(this.#databases.all()).some(({ isApplying }) => isApplying)) {
      signal.throwIfAborted()
      const reason = this.#heldUp()
      if (reason !== undefined) throw new LtxdError('REPLICA_HELD_UP', `not everything was applied: ${reason}`)
      await sleep(POLL_MS)
    }
    for (const { name, hasLost, broken = 'the local client ended' } of this.#databases.all()) {
      if (hasLost) throw new LtxdError('CLIENT_LOST', `not everything was applied to database ${name}: ${broken}`)
    }
  }

  /** Why transactions that were received are not applied. */
  #heldUp(): string | undefined {
    for (const { name, isApplying, blocked } of this.#databases.all()) {
      if (isApplying && blocked !== undefined) return `database ${name} does not take what was received: ${blocked}`
    }
    return undefined
  }

  status(): ReplicaStatus {
    const { connected, lastError } = this.#stream?.status() ?? { connected: false }
    const { ms: lagMs, silentMs } = this.#lag
    const disconnectedAtMs = silentMs === undefined ? this.#startedAtMs : Math.round(Date.now() - silentMs)
    return {
      connected,
      ...(!connected && { disconnectedAtMs }),
      ...(lagMs !== undefined && { lagMs }),
      ...(lastError !== undefined && { lastError }),
    }
  }

  replication(database: string): ReplicationStatus | undefined {
    return this.#databases.status(database)
  }

  /** Why the database's transactions cannot be applied at the moment: a full disk, or one that fails. */
  failure(database: string): string | undefined {
    return this.#databases.failure(database)
  }

  /** Applies a file of the backup, before the node leads. Throws ReplicaError, and the reason of `signal`. */
  advance(name: string, bytes: AsyncIterable<Uint8Array>, to: AdvanceTo, signal: AbortSignal): Promise<void> {
    const advanced = advance(this.#spool, this.#databases, name, bytes, to, signal)
    return unlessSilent(this.#databases, HUNG_MS.leading, advanced)
  }

  /** Only the position of the database's drop remains. */
  released(name: string): void {
    this.#databases.released(name)
  }

  /** The database has this owner in the backup, from which it is about to be advanced. */
  own(name: string, owner: DatabaseOwner): Promise<void> {
    return unlessSilent(this.#databases, HUNG_MS.leading, this.#databases.own(name, owner))
  }

  /** Moves the local database aside, before it is replaced. `fork`: the last transaction that both histories share. */
  setAside(database: string, reason: string, fork: TXID | undefined): Promise<void> {
    return this.#databases.setAside(database, reason, fork)
  }

  #open(): Promise<void> {
    return unlessSilent(this.#databases, HUNG_MS.opening, this.#databases.open())
  }

  #connect(): void {
    if (this.#following === undefined || this.#stopped) return
    const { primary, term } = this.#following
    const { reconnectMs } = this.#options
    this.#sink.resume()
    this.#stream = new StreamClient({ primary, term, sink: this.#sink, logger: this.#logger, reconnectMs })
    this.#stream.start()
    for (const { name, broken } of this.#databases.all()) {
      if (broken !== undefined) this.#stream.requestSnapshot(name, broken)
    }
  }

  async #disconnect(): Promise<void> {
    this.#resyncs.disconnected()
    // The client takes what was received, and applies it in its time: with the connection it would be lost.
    this.#databases.takeAll(true)
    const stopped = this.#stream?.stop()
    this.#sink.interrupt()
    await unlessHung(this.#databases, HUNG_MS.following, stopped, true)
    this.#databases.takeAll(false)
    this.#stream = undefined
  }

  async #leave(): Promise<void> {
    this.#following = undefined
    await this.#disconnect()
  }

  /** The client's locks are gone, but the data plane rejects all other writers until a new client holds them. */
  #clientLost(): void {
    if (this.#stopped) return
    this.#logger.error('the local client ended: restarting it')
    void this.#enqueue(async () => {
      if (this.#stopped) return
      await this.#disconnect()
      // What the client had not applied yet comes again.
      this.#spool.clear()
      await sleep(RESTART_CLIENT_MS)
      await this.#open()
      this.#connect()
    })
  }

  #resync(name: string, reason: string): void {
    this.#logger.warn({ database: name, reason }, 'the database cannot continue: requesting a snapshot')
    this.#resyncs.broken(name)
  }

  #requestSnapshot(name: string): void {
    const broken = this.#databases.broken(name)
    if (broken !== undefined) this.#stream?.requestSnapshot(name, broken)
  }

  #alive(lagMs: number): void {
    this.#lag.heard(lagMs)
    this.#options.plane.shared.lagMs = this.#lag.ms
  }

  #publishLag(): void {
    this.#lag.unappliedMs = this.#databases.unappliedMs()
    this.#options.plane.shared.lagMs = this.#lag.ms
  }

  /** Runs one operation after the other, even if the previous one failed. */
  #enqueue(work: () => Promise<void>): Promise<void> {
    const done = this.#work.then(work)
    this.#work = done.catch((error: unknown) => {
      this.#logger.error({ err: error }, 'a change of role failed')
    })
    return done
  }
}
