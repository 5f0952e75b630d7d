import type { DataDirectory } from './data-directory.ts'
import type { DataPlane, KnownDatabase } from './dataplane.ts'
import { keepDiverged, keepRefused } from './diverged.ts'
import { LocalClientProcess } from './local-client.ts'
import type { ReplicationStatus } from './status.ts'
import { ReplicaDatabase } from './replica-database.ts'
import type { ReplicaError } from './replica-database.ts'
import { Spool } from './spool.ts'
import type { FromClient } from '../apply/client/messages.ts'
import { databaseNameProblem } from '../log/database-name.ts'
import { LogReader } from '../log/reader.ts'
import { logDirectory } from '../log/store.ts'
import { formatChecksum, formatPosition, parsePosition } from '../ltx/types.ts'
import type { Position, TXID } from '../ltx/types.ts'
import { StreamClient } from '../stream/client.ts'
import type { NodeAddress } from '../stream/address.ts'
import type { SnapshotHeader, StreamSink, TransactionHeader } from '../stream/sink.ts'
import { errorCode, errorMessage } from '../util/errors.ts'
import type { Logger } from '../util/log.ts'

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

/** Positions that a database may be found at when a client takes it up: as many as one that died can have left unpublished, and more. */
const POSITIONS_TOLD = 1024
const MAX_HISTORY = 4096
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
export class Replica implements StreamSink {
  readonly self: NodeAddress
  readonly #options: ReplicaOptions
  readonly #logger: Logger
  readonly #spool: Spool
  readonly #databases = new Map<string, ReplicaDatabase>()
  readonly #retries = new Map<string, number>()
  readonly #stopped = new AbortController()
  /** The last sign of life of the primary. */
  #heard: { readonly lagMs: number; readonly atMs: number } | undefined
  readonly #lagTimer = setInterval(() => this.#tellLag(), SILENT_MS / 2)
  #client: LocalClientProcess | undefined
  #stream: StreamClient | undefined
  #following: { readonly primary: NodeAddress; readonly term: bigint } | undefined
  #work: Promise<void> = Promise.resolve()

  constructor(options: ReplicaOptions) {
    this.#options = options
    this.#logger = options.logger
    this.self = options.self
    this.#spool = new Spool(`${options.data.dir}/temporary`)
  }

  /** Takes up the databases of this node: from here on only what the primary sent is written to them. */
  start(): Promise<void> {
    return this.#next(() => this.#takeUp())
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
    await this.settled()
    this.#stopped.abort()
    clearInterval(this.#lagTimer)
    await this.#next(async () => {
      await this.#client?.close()
      this.#client = undefined
    })
    this.#options.plane.shared.lagMs = undefined
    this.#spool.clear()
  }

  /** Resolves when everything that has arrived is applied, or too slow. */
  settled(): Promise<void> {
    return withinMs(DRAIN_MS, Promise.all(Array.from(this.#databases.values(), (database) => database.idle())))
  }

  /** Why this node must not lead: what it would lead with is not what it should have. */
  unfit(): string | undefined {
    for (const { name, broken } of this.#databases.values()) {
      if (broken !== undefined) return `database ${name} waits for a snapshot (${broken})`
    }
    return undefined
  }

  status(): ReplicaStatus {
    const { connected, lagMs, lastError } = this.#stream?.status() ?? { connected: false, lagMs: 0 }
    return { connected, lagMs, ...(lastError !== undefined && { lastError }) }
  }

  replication(name: string): ReplicationStatus | undefined {
    const database = this.#databases.get(name)
    if (database === undefined) return undefined
    const { broken, blocked, behind } = database
    if (broken !== undefined) return { state: 'resyncing', reason: broken }
    if (blocked !== undefined) return { state: 'lagging', behind, reason: blocked }
    return { state: 'following', ...(behind > 0 && { behind }) }
  }

  /** One database brought further by a file of the backup, as the node is about to lead. Throws ReplicaError. */
  async advance(
    name: string,
    bytes: AsyncIterable<Uint8Array>,
    { whole, position, timestampMs }: { whole: boolean; position: Position | undefined; timestampMs: number },
  ): Promise<void> {
    const { file } = await this.#spool.take(bytes)
    const at = position === undefined ? {} : { position: formatPosition(position) }
    await (await this.#database(name)).advance({ file, whole, timestampMs, ...at })
  }

  /** What is local of it is set aside; it comes anew. */
  async setAside(name: string, reason: string, fork: TXID | undefined): Promise<void> {
    const { data, plane } = this.#options
    const known = plane.databases.get(name)
    if (known === undefined) return
    const position = known.state().position
    const kept =
      known.refusal === undefined
        ? await keepDiverged(data, { database: name, position, fork, reason })
        : keepRefused(data, name, known.refusal)
    this.#logger.error(
      { database: name, position: formatPosition(position), reason, kept },
      'set aside what is not part of the history',
    )
  }

  // What the stream brings.

  clusterId(): string | undefined {
    return this.#options.data.clusterId()
  }

  adoptCluster(id: string): void {
    this.#options.data.joinCluster(id)
  }

  term(): bigint {
    return this.#options.data.term()
  }

  positions(): ReadonlyMap<string, Position> {
    const positions = new Map<string, Position>()
    for (const { name, refusal, state } of this.#options.plane.databases.values()) {
      const { position } = state()
      if (refusal === undefined && position.txid > 0n) positions.set(name, position)
    }
    return positions
  }

  history(name: string): Promise<readonly Position[]> {
    return this.#newestPositions(name, MAX_HISTORY)
  }

  async transaction(
    name: string,
    bytes: Uint8Array | AsyncIterable<Uint8Array>,
    _header: TransactionHeader,
  ): Promise<void> {
    const database = await this.#database(name)
    await database.apply(bytes instanceof Uint8Array ? bytes : await this.#spool.take(bytes))
  }

  async snapshot(name: string, header: SnapshotHeader, bytes: AsyncIterable<Uint8Array>): Promise<void> {
    const { position, preApplyChecksum, timestampMs, reason, diverged, fork } = header
    const { file } = await this.#spool.take(bytes)
    this.#logger.warn(
      { database: name, position: formatPosition(position), reason },
      'taking a snapshot from the primary',
    )
    if (diverged || (fork === undefined && this.#mayHaveOwn(name))) await this.setAside(name, reason, fork)
    const database = await this.#database(name)
    await database.idle()
    if (database.uncaptured) await database.discard()
    const order = {
      ...{ file, whole: true, position: formatPosition(position), timestampMs },
      ...(preApplyChecksum !== 0n && { preApplyChecksum: formatChecksum(preApplyChecksum) }),
    }
    try {
      await database.advance(order)
    } catch (error) {
      if (errorCode(error) !== 'APPLY_NOT_DATABASE') throw error
      // A plain file of this node has the name of a database of the primary's.
      const kept = keepRefused(this.#options.data, name, errorMessage(error))
      this.#logger.warn({ database: name, kept }, 'a file in the way of a database was set aside')
      await database.discard()
      await database.advance(order)
    }
    this.#retries.delete(name)
  }

  async unknown(name: string): Promise<void> {
    const known = this.#options.plane.databases.get(name)
    const database = await this.#database(name)
    await database.idle()
    if (known?.state().tracked === true) await this.setAside(name, 'the primary has no such database', undefined)
    await database.discard()
  }

  caughtUp(): void {
    const { term = 0n } = this.#following ?? {}
    void Promise.all(Array.from(this.#databases.values(), (database) => database.idle())).then(() => {
      this.#options.caughtUp(term)
    })
  }

  alive(lagMs: number): void {
    this.#heard = { lagMs, atMs: performance.now() }
    this.#options.plane.shared.lagMs = lagMs
  }

  /** Since the primary fell silent, the lag is at least that long. */
  #tellLag(): void {
    const { lagMs, atMs } = this.#heard ?? { lagMs: 0, atMs: Infinity }
    const silentMs = performance.now() - atMs
    if (silentMs > SILENT_MS) this.#options.plane.shared.lagMs = lagMs + silentMs
  }

  /** What is here may hold transactions that nobody else has: those of a node that never led all came from elsewhere. */
  #mayHaveOwn(name: string): boolean {
    const { data, plane } = this.#options
    return data.ledTerm() > 0n && plane.databases.get(name)?.state().tracked === true
  }

  // The local client.

  async #takeUp(): Promise<void> {
    const { plane, mountDir } = this.#options
    const client = new LocalClientProcess({
      mountDir,
      announcementsPath: plane.announcementsPath(mountDir),
      shared: plane.shared,
      logger: this.#logger,
      received: (message) => this.#receive(message),
    })
    this.#client = client
    void client.ended.then(() => this.#clientEnded(client))
    for (const known of plane.databases.values()) {
      if (known.refusal !== undefined) await this.#discardRefused(known)
      else if (known.state().position.txid > 0n) await this.#open(known.name)
    }
  }

  /** Recovery gave up on it, and nobody can have it open. */
  async #discardRefused({ name, refusal = '' }: KnownDatabase): Promise<void> {
    await this.setAside(name, refusal, undefined)
    await this.#add(name).discard()
  }

  async #database(name: string): Promise<ReplicaDatabase> {
    const problem = databaseNameProblem(name)
    if (problem !== undefined) throw new Error(`the primary names a database that cannot be: ${problem}`)
    return this.#databases.get(name) ?? (await this.#open(name))
  }

  #add(name: string): ReplicaDatabase {
    const database = new ReplicaDatabase({
      name,
      send: async (order, body) => this.#client?.send(order, body),
      applied: (position) => this.#applied(name, position),
      failed: (error) => this.#heal(name, error),
    })
    this.#databases.set(name, database)
    return database
  }

  /** The data plane has it by now, or the client wrote something that was not captured: nothing that follows would be, either. */
  #applied(name: string, position: Position): void {
    const known = this.#options.plane.databases.get(name)
    if (known !== undefined && known.state().position.txid < position.txid) {
      const database = this.#databases.get(name)
      if (database !== undefined) database.uncaptured = true
      return this.#heal(name, 'what was applied to it was not captured')
    }
    this.#stream?.acknowledge(name, position)
  }

  /** What the log holds beyond what is visible, an earlier client announced and did not come to publish: it is applied again. */
  async #open(name: string): Promise<ReplicaDatabase> {
    const database = this.#add(name)
    const positions = await this.#newestPositions(name, POSITIONS_TOLD)
    void this.#opened(database, positions)
    return database
  }

  /** Does not wait for a database that an application of former times keeps locked: what comes for it waits in the client. */
  async #opened(database: ReplicaDatabase, positions: readonly Position[]): Promise<void> {
    const { name } = database
    try {
      const found = await database.open(positions)
      const expected = positions[0]
      if (expected === undefined) return
      if (found === undefined) this.#heal(name, 'its pages are those of no transaction in its log')
      else if (parsePosition(found).txid < expected.txid)
        this.#heal(name, 'an earlier client ended in the middle of a write')
    } catch (error) {
      this.#heal(name, error as ReplicaError)
    }
  }

  async #newestPositions(name: string, count: number): Promise<Position[]> {
    const known = this.#options.plane.databases.get(name)
    const position = known?.state().position
    if (position === undefined || position.txid === 0n) return []
    const log = new LogReader(name, logDirectory(this.#options.data.dir, name), () => position)
    const first = await log.first()
    // As after a restore: the log goes on from here, and holds nothing yet.
    if (first === undefined) return [position]
    const from = position.txid - BigInt(count) > first ? ((position.txid - BigInt(count)) as TXID) : first
    const positions: Position[] = []
    for await (const { header, postApplyChecksum } of log.records(from, position.txid)) {
      positions.push({ txid: header.maxTXID, checksum: postApplyChecksum })
    }
    positions.reverse()
    return positions.length > 0 ? positions : [position]
  }

  #receive(message: FromClient): void {
    if (message.type === 'closed') return
    const position = message.type === 'applied' ? parsePosition(message.position) : undefined
    this.#databases.get(message.database)?.receive(message, position)
    if (message.type === 'blocked') {
      this.#logger.warn({ database: message.database, reason: message.reason }, 'a database lags')
    }
  }

  /** Its locks are gone, but nobody else may write: another client takes over. */
  #clientEnded(client: LocalClientProcess): void {
    for (const database of this.#databases.values()) database.abandon()
    if (this.#client !== client || this.#stopped.signal.aborted) return
    this.#logger.error('the local client ended: starting another')
    void this.#next(async () => {
      if (this.#stopped.signal.aborted) return
      await this.#disconnect()
      this.#databases.clear()
      await new Promise((resolve) => setTimeout(resolve, RESTART_CLIENT_MS))
      await this.#takeUp()
      this.#connect()
    })
  }

  /** Only a snapshot helps. The first is asked for at once, the next ones after growing pauses. */
  #heal(name: string, error: ReplicaError | string): void {
    const reason = typeof error === 'string' ? error : error.message
    const database = this.#databases.get(name)
    if (database !== undefined) database.broken = reason
    const attempt = this.#retries.get(name) ?? 0
    this.#retries.set(name, attempt + 1)
    const delayMs = attempt === 0 ? 0 : Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt)
    this.#logger.warn({ database: name, reason }, 'a database cannot go on by itself: asking for a snapshot')
    setTimeout(() => this.#stream?.requestSnapshot(name, reason), delayMs).unref()
  }

  #connect(): void {
    if (this.#following === undefined || this.#stopped.signal.aborted) return
    const { primary, term } = this.#following
    const { reconnectMs } = this.#options
    this.#stream = new StreamClient({ primary, term, sink: this, logger: this.#logger, reconnectMs })
    this.#stream.start()
    for (const [name, { broken }] of this.#databases) {
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

  /** One after the other, whatever became of the one before. */
  #next(work: () => Promise<void>): Promise<void> {
    const done = this.#work.then(work)
    this.#work = done.catch((error: unknown) => {
      this.#logger.error({ error: errorMessage(error) }, 'a change of role failed')
    })
    return done
  }
}

async function withinMs(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))
  await Promise.race([work.then(() => undefined), late])
  clearTimeout(timer)
}
