import { setTimeout as sleep } from 'node:timers/promises'
import type { DataDirectory } from '../data/directory.ts'
import { Spool } from '../data/spool.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import type { Position, TXID } from '../ltx/format/types.ts'
import { formatPosition } from '../ltx/format/types.ts'
import { StreamClient } from '../stream/replica/client.ts'
import { errorMessage } from '../util/errors.ts'
import type { Logger } from '../util/log.ts'
import type { NodeAddress } from '../util/node-address.ts'
import { ReplicaDatabases } from './databases.ts'
import { ReplicaSink } from './sink.ts'
import type { ReplicationStatus } from './status.ts'

export interface ReplicaOptions {
  readonly data: DataDirectory
  readonly plane: DataPlane
  readonly mountDir: string
  readonly self: NodeAddress
  readonly reconnectMs: number
  readonly logger: Logger
  /** Everything that the primary had when the stream began is here. */
  readonly caughtUp: (term: bigint) => void
}

export interface ReplicaStatus {
  readonly connected: boolean
  readonly lagMs: number
  readonly lastError?: string
}

const RESTART_CLIENT_MS = 200
/** Longer than between two heartbeats. */
const SILENT_MS = 2_000
const FIRST_RETRY_MS = 500
const MAX_RETRY_MS = 30_000
/** How long what has arrived may take to be applied when the node ceases to be a replica. */
const DRAIN_MS = 3_000

/**
 * A node while it does not lead: the local client holds the write locks of all databases from beginning to end, and what the primary streams goes through
 * it. Whatever does not fit heals by a snapshot; what this node has alone is kept under `diverged/` before.
 */
export class Replica {
  readonly #options: ReplicaOptions
  readonly #logger: Logger
  readonly #spool: Spool
  readonly #databases: ReplicaDatabases
  readonly #sink: ReplicaSink
  readonly #retries = new Map<string, number>()
  /** The last sign of life of the primary. */
  #heard: { readonly lagMs: number; readonly atMs: number } | undefined
  readonly #lagTimer = setInterval(() => this.#tellLag(), SILENT_MS / 2)
  #stream: StreamClient | undefined
  #following: { readonly primary: NodeAddress; readonly term: bigint } | undefined
  #stopped = false
  #work: Promise<void> = Promise.resolve()

  constructor(options: ReplicaOptions) {
    const { data, plane, mountDir, self, logger } = options
    this.#options = options
    this.#logger = logger
    const spool = (this.#spool = new Spool(`${data.dir}/temporary`))
    const databases = (this.#databases = new ReplicaDatabases({
      ...{ data, plane, mountDir, logger },
      applied: (name, position) => this.#stream?.acknowledge(name, position),
      broken: (name, reason) => this.#heal(name, reason),
      lost: () => this.#clientLost(),
    }))
    this.#sink = new ReplicaSink({
      ...{ self, data, plane, databases, spool, logger },
      caughtUp: () => options.caughtUp(this.#following?.term ?? 0n),
      alive: (lagMs) => this.#alive(lagMs),
      healed: (name) => this.#retries.delete(name),
    })
  }

  /** Takes up the databases of this node: from here on only what the primary sent is written to them. */
  start(): Promise<void> {
    return this.#next(() => this.#databases.open())
  }

  /** Leaves the primary followed so far, if any, for this one. */
  follow(primary: NodeAddress, term: bigint): Promise<void> {
    return this.#next(async () => {
      await this.#leave()
      this.#following = { primary, term }
      this.#connect()
    })
  }

  /** There is no primary to follow. */
  leave(): Promise<void> {
    return this.#next(() => this.#leave())
  }

  /** Applies what has arrived, and lets go of everything: whoever leads next may write. */
  async stop(): Promise<void> {
    await this.leave()
    await this.drain()
    this.#stopped = true
    clearInterval(this.#lagTimer)
    await this.#next(() => this.#databases.close())
    this.#options.plane.shared.lagMs = undefined
    this.#spool.clear()
  }

  /** Resolves when everything that has arrived is applied, or too slow. */
  async drain(): Promise<void> {
    const late = new AbortController()
    const tooSlow = sleep(DRAIN_MS, undefined, { signal: late.signal }).catch(() => undefined)
    await Promise.race([this.#databases.idle(), tooSlow])
    late.abort()
  }

  /** Why this node must not lead: what it would lead with is not what it should have. */
  unfit(): string | undefined {
    for (const { name, broken } of this.#databases.all()) {
      if (broken !== undefined) return `database ${name} waits for a snapshot (${broken})`
    }
    return undefined
  }

  status(): ReplicaStatus {
    const { connected, lagMs, lastError } = this.#stream?.status() ?? { connected: false, lagMs: 0 }
    return { connected, lagMs, ...(lastError !== undefined && { lastError }) }
  }

  replication(database: string): ReplicationStatus | undefined {
    return this.#databases.status(database)
  }

  /** One database brought further by a file of the backup, as the node is about to lead. Throws ReplicaError. */
  async advance(
    name: string,
    bytes: AsyncIterable<Uint8Array>,
    { whole, position, timestampMs }: { whole: boolean; position: Position | undefined; timestampMs: number },
  ): Promise<void> {
    const { file } = await this.#spool.take(bytes)
    const database = await this.#databases.get(name)
    const at = position === undefined ? {} : { position: formatPosition(position) }
    await database.advance({ file, whole, timestampMs, ...at })
  }

  /** What is local of it is kept; it comes anew. `fork`: the last transaction that both histories share. */
  setAside(database: string, reason: string, fork: TXID | undefined): Promise<void> {
    return this.#databases.setAside(database, reason, fork)
  }

  #connect(): void {
    if (this.#following === undefined || this.#stopped) return
    const { primary, term } = this.#following
    const { reconnectMs } = this.#options
    this.#stream = new StreamClient({ primary, term, sink: this.#sink, logger: this.#logger, reconnectMs })
    this.#stream.start()
    for (const { name, broken } of this.#databases.all()) {
      if (broken !== undefined) this.#stream.requestSnapshot(name, broken)
    }
  }

  async #disconnect(): Promise<void> {
    await this.#stream?.stop()
    this.#stream = undefined
  }

  async #leave(): Promise<void> {
    this.#following = undefined
    this.#heard = undefined
    await this.#disconnect()
    this.#options.plane.shared.lagMs = undefined
  }

  /** Its locks are gone, but nobody else may write: another client takes over. */
  #clientLost(): void {
    if (this.#stopped) return
    this.#logger.error('the local client ended: starting another')
    void this.#next(async () => {
      if (this.#stopped) return
      await this.#disconnect()
      await sleep(RESTART_CLIENT_MS)
      await this.#databases.open()
      this.#connect()
    })
  }

  /** Only a snapshot helps. The first is asked for at once, the next ones after growing pauses. */
  #heal(name: string, reason: string): void {
    const attempt = this.#retries.get(name) ?? 0
    this.#retries.set(name, attempt + 1)
    const delayMs = attempt === 0 ? 0 : Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt)
    this.#logger.warn({ database: name, reason }, 'a database cannot go on by itself: asking for a snapshot')
    setTimeout(() => this.#stream?.requestSnapshot(name, reason), delayMs).unref()
  }

  #alive(lagMs: number): void {
    this.#heard = { lagMs, atMs: performance.now() }
    this.#options.plane.shared.lagMs = lagMs
  }

  /** Since the primary fell silent, the lag is at least that long. */
  #tellLag(): void {
    const { lagMs, atMs } = this.#heard ?? { lagMs: 0, atMs: Infinity }
    const silentMs = performance.now() - atMs
    if (silentMs > SILENT_MS) this.#options.plane.shared.lagMs = lagMs + silentMs
  }

  /** One after the other, whatever became of the one before. */
  #next(work: () => Promise<void>): Promise<void> {
    const done = this.#work.then(work)
    this.#work = done.catch((error: unknown) => {
      this.#logger.error({ error: errorMessage(error) }, 'a change of role failed')
    })
    return done
  }
}
