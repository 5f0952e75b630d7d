import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Position } from '../../ltx/format/types.ts'
import type { Logger } from '../../util/log.ts'
import { before } from '../../util/waits.ts'
import { StreamRejectedError } from '../wire/errors.ts'
import { HEARTBEAT_MS, MAX_NAMES } from '../wire/messages.ts'
import { sendRejection } from '../wire/rejection.ts'
import { Signal } from '../wire/signal.ts'
import { GroupSync } from './group-sync.ts'
import { type Followed, Pacer } from './pacer.ts'
import type { ReplicaStatus } from './replica-status.ts'
import { replicaStatus } from './replica-status.ts'
import { ReplicaStream } from './replica-stream.ts'
import type { RoomLimits } from './room.ts'
import { Snapshots } from './snapshots.ts'
import type { StreamedDatabase, StreamSource } from './source.ts'

export type { ReplicaStatus } from './replica-status.ts'
export type { StreamedDatabase, StreamSource } from './source.ts'

/** How long the end of a stream may take to reach its replica. */
const CLOSE_MS = 1_000

export interface StreamServerOptions {
  /** A replica that takes nothing for so long, while there is something to send, is cut off. */
  readonly stalledMs?: number
  readonly snapshotLimits?: RoomLimits
  /** Databases that a replica may name. */
  readonly maxNames?: number
  readonly maxStreams?: number
  /** Commits are slowed down so that connected replicas lag by no more than that. Default: never. */
  readonly maxLagMs?: number | undefined
  /** A replica that acknowledges nothing of a database for so long slows down none of its commits. */
  readonly stuckMs?: number
}

const STALLED_MS = 30_000
/** As many nodes as one remembers. Each takes a descriptor and memory (I10). */
const MAX_STREAMS = 256
const NOTHING_PACED: ReadonlyMap<string, number> = new Map()

/** The primary's end of all streams. */
export class StreamServer {
  readonly #source: StreamSource
  readonly #logger: Logger
  readonly #syncs = new GroupSync()
  readonly #snapshots: Snapshots
  readonly #stalledMs: number
  readonly #maxNames: number
  readonly #maxStreams: number
  readonly #pacer: Pacer | undefined
  readonly #streams = new Set<ReplicaStream>()
  readonly #moved = new Signal()
  #databases: ReadonlyMap<string, StreamedDatabase> = new Map()
  #watching = false
  #closed: string | undefined

  constructor(source: StreamSource, logger: Logger, options: StreamServerOptions = {}) {
    this.#source = source
    this.#logger = logger
    this.#snapshots = new Snapshots(source.temporaryParent, options.snapshotLimits)
    this.#stalledMs = options.stalledMs ?? STALLED_MS
    this.#maxNames = options.maxNames ?? MAX_NAMES
    this.#maxStreams = options.maxStreams ?? MAX_STREAMS
    const { maxLagMs, stuckMs } = options
    if (maxLagMs !== undefined) {
      const pace = (name: string, intervalMs: number) => source.paceCommits?.(name, intervalMs)
      this.#pacer = new Pacer({ maxLagMs, stuckMs, pace, logger })
    }
  }

  /** POST /stream: request and response both last as long as the connection. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    const term = this.#source.term()
    if (term === undefined || this.#closed !== undefined) {
      request.resume()
      sendRejection(response, this.#notPrimary(), this.#source.primary?.())
      return
    }
    if (!this.#hasRoom()) {
      request.resume()
      sendRejection(response, this.#isFull())
      return
    }
    const stream: ReplicaStream = new ReplicaStream(
      {
        source: this.#source,
        syncs: this.#syncs,
        snapshots: this.#snapshots,
        stalledMs: this.#stalledMs,
        maxNames: this.#maxNames,
        logger: this.#logger,
        term,
        databases: () => this.#databases,
        welcomed: () => this.#meet(stream),
        left: () => this.#part(stream),
        moved: () => this.#moved.wake(),
      },
      request,
      response,
    )
    this.#readDatabases()
    this.#streams.add(stream)
    const gone = () => {
      this.#streams.delete(stream)
      this.#moved.wake()
      return stream.closed(CLOSE_MS)
    }
    void stream.run().then(gone, gone)
    if (!this.#watching) void this.#watch()
  }

  /** The connected replicas. */
  replicas(): readonly ReplicaStatus[] {
    this.#readDatabases()
    const positions = this.#positions()
    return this.#welcomed().map((stream) => replicaStatus(stream, positions))
  }

  /** How far apart the commits of each database are that is slowed down because of its replicas. */
  get intervalsMs(): ReadonlyMap<string, number> {
    return this.#pacer?.intervalsMs ?? NOTHING_PACED
  }

  /** Whether each connected replica acknowledges the database up to there. */
  acknowledged(database: string, position: Position): boolean {
    return this.#welcomed().every((stream) => stream.feeds.get(database)?.covers(position) ?? false)
  }

  /**
   * The first candidate, or the one with `nodeId`, that acknowledges everything committed as of the call: the successor
   * of this node from then on. Undefined after the timeout, and where every candidate stops, as soon as one of the
   * other replicas acknowledges it.
   */
  async caughtUp(timeoutMs: number, nodeId?: string): Promise<string | undefined> {
    const successor = await this.#covering(timeoutMs, nodeId)
    if (successor !== undefined) successor.isSuccessor = true
    return successor?.hello?.nodeId
  }

  /** Why that replica cannot be the successor now; undefined if it acknowledges everything within the time. */
  async whyNotSuccessor(timeoutMs: number, nodeId: string): Promise<string | undefined> {
    if ((await this.#covering(timeoutMs, nodeId)) !== undefined) return undefined
    const replica = this.replicas().find((each) => each.nodeId === nodeId)
    if (replica === undefined) return 'it is not connected'
    if (replica.leaving) return 'it stops'
    if (!replica.candidate) return 'it is no candidate (lease.candidate: false)'
    const { behind } = replica
    const lacks = `${behind} ${behind === 1 ? 'transaction' : 'transactions'}`
    return `it is behind by ${lacks}, and did not apply them within ${timeoutMs / 1_000} s`
  }

  async #covering(timeoutMs: number, nodeId: string | undefined): Promise<ReplicaStream | undefined> {
    this.#readDatabases()
    const targets = this.#positions()
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const moved = this.#moved.next
      const asked = this.#welcomed().filter(({ hello }) => nodeId === undefined || hello?.nodeId === nodeId)
      const candidates = asked.filter(({ mayLead }) => mayLead)
      const successor = candidates.find((stream) => covers(stream, targets))
      if (successor !== undefined) return successor
      const others = asked.filter(({ leaving, mayLead }) => !leaving && !mayLead)
      const isCopied = nodeId !== undefined || others.length === 0 || others.some((stream) => covers(stream, targets))
      if (asked.length > 0 && candidates.length === 0 && isCopied) return undefined
      const leftMs = deadline - performance.now()
      if (leftMs <= 0) return undefined
      await before(moved, leftMs)
    }
  }

  /** Whether a connected replica, also one that stops, acknowledges everything committed as of the call. */
  hasCopy(): boolean {
    this.#readDatabases()
    const targets = this.#positions()
    return this.#welcomed().some((stream) => covers(stream, targets))
  }

  /** Ends all streams with a reason. From now on every replica is rejected. */
  async close(reason: string): Promise<void> {
    this.#closed ??= reason
    const streams = [...this.#streams]
    for (const stream of streams) stream.end('CLOSED', reason)
    await Promise.all(streams.map((stream) => stream.closed(CLOSE_MS)))
  }

  /** Whoever connects and does not say hello keeps no replica out. */
  #hasRoom(): boolean {
    if (this.#streams.size < this.#maxStreams) return true
    const silent = [...this.#streams].find(({ hello }) => hello === undefined)
    silent?.end('CLOSED', 'others connect')
    if (silent !== undefined) this.#streams.delete(silent)
    return silent !== undefined
  }

  #isFull(): StreamRejectedError {
    const message = `${this.#maxStreams} replicas are connected to this node (${this.#source.hostname}), and it takes no more`
    return new StreamRejectedError('TOO_MANY', message)
  }

  #notPrimary(): StreamRejectedError {
    const why = this.#closed ?? 'it does not lead'
    return new StreamRejectedError('NOT_PRIMARY', `this node (${this.#source.hostname}) is not the primary: ${why}`)
  }

  #welcomed(): ReplicaStream[] {
    return [...this.#streams].filter((stream) => stream.hello !== undefined && !stream.ended)
  }

  #meet(welcomed: ReplicaStream): void {
    this.#replace(welcomed)
    const { nodeId = '', hostname = '' } = welcomed.hello ?? {}
    if (this.#source.known.meet({ nodeId, hostname })) this.#tellNodes(welcomed)
  }

  #part(left: ReplicaStream): void {
    try {
      if (this.#source.known.part(left.hello?.nodeId ?? '')) this.#tellNodes(left)
    } catch (error) {
      // Then an election after the loss of the lease's record waits for that node, too.
      this.#logger.warn({ err: error }, 'that a replica stops could not be noted')
    }
  }

  #tellNodes(butNot: ReplicaStream): void {
    for (const stream of this.#welcomed()) if (stream !== butNot) stream.tellNodes()
  }

  /** A node has one stream. A second one means that the node has abandoned the first. */
  #replace(welcomed: ReplicaStream): void {
    for (const stream of this.#streams) {
      if (stream === welcomed || stream.hello?.nodeId !== welcomed.hello?.nodeId) continue
      stream.end('REPLACED', 'the same node has connected again')
    }
  }

  /** One wait for all streams: each publication is read once, and passed to all of them. */
  async #watch(): Promise<void> {
    this.#watching = true
    this.#pacer?.start(() => this.#followed())
    while (this.#streams.size > 0) {
      const seen = this.#source.changes()
      try {
        this.#readDatabases()
        const positions = this.#positions()
        for (const stream of this.#streams) stream.update(this.#databases, positions)
      } catch (error) {
        this.#logger.error({ err: error }, 'a change could not be announced to the replicas')
      }
      await this.#source.waitForChange(seen, HEARTBEAT_MS)
    }
    this.#watching = false
    this.#pacer?.stop()
  }

  #followed(): Followed {
    const followers = this.#welcomed().map(({ hello, feeds }) => {
      return { name: hello?.hostname ?? '', feed: (database: string) => feeds.get(database) }
    })
    return { changes: this.#source.changes(), positions: () => this.#positions(), followers }
  }

  #readDatabases(): void {
    this.#databases = new Map([...this.#source.databases()].map((database) => [database.name, database]))
  }

  #positions(): ReadonlyMap<string, Position> {
    return new Map([...this.#databases].map(([name, { log }]) => [name, log.position()]))
  }
}

function covers(stream: ReplicaStream, targets: ReadonlyMap<string, Position>): boolean {
  for (const [name, target] of targets) {
    if (target.txid > 0n && stream.feeds.get(name)?.covers(target) !== true) return false
  }
  return true
}
