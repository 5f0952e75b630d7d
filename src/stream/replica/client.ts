import type { Position } from '../../ltx/format/types.ts'
import { errorMessage, LtxdError } from '../../util/errors.ts'
import { limitLines, type Logger } from '../../util/log.ts'
import type { NodeAddress } from '../../util/node-address.ts'
import { Backoff } from '../wire/backoff.ts'
import { StreamProtocolError } from '../wire/errors.ts'
import { MAX_NAMES } from '../wire/messages.ts'
import { CatchUp } from './catch-up.ts'
import { Lane } from './lane.ts'
import { PrimaryStream } from './primary-stream.ts'
import type { StreamSink } from './sink.ts'

export type { StreamSink } from './sink.ts'

export interface StreamClientOptions {
  readonly primary: NodeAddress
  /** The term in which the primary leads, as its lease says; 0 if no lease says one: it is static. */
  readonly term: bigint
  readonly sink: StreamSink
  readonly logger: Logger
  /** The average delay before the connection is retried: shorter at first, longer later. */
  readonly reconnectMs: number
  /** Databases that a primary may name. */
  readonly maxNames?: number
}

export interface StreamClientStatus {
  readonly connected: boolean
  readonly lastError?: string
  /** The age of the newest transaction when it arrived; 0 once nothing more is to come. */
  readonly lagMs: number
}

/** The replica's end of the stream: connected to the primary for as long as it is started. */
export class StreamClient {
  readonly #options: StreamClientOptions
  readonly #maxNames: number
  readonly #logger: Logger
  /** For what the primary causes. */
  readonly #limited: Logger
  readonly #lanes = new Map<string, Lane>()
  readonly #stopped = new AbortController()
  readonly #timers = new Set<NodeJS.Timeout>()
  #running: Promise<void> | undefined
  #stream: PrimaryStream | undefined
  /** The highest term of a static primary of which anything was applied. */
  #appliedTerm = 0n
  #lastError: string | undefined
  #lagMs = 0
  #catchUp: CatchUp | undefined
  /** What the primary has caught this node up with is not its whole history. */
  #withholds = false

  constructor(options: StreamClientOptions) {
    this.#options = options
    this.#maxNames = options.maxNames ?? MAX_NAMES
    this.#logger = options.logger.child({ host: options.primary.hostname, url: options.primary.url })
    this.#limited = limitLines(this.#logger)
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /**
   * The local database cannot be continued: drops what was received of it, and requests a snapshot.
   */
  requestSnapshot(database: string, reason: string): void {
    this.#lane(database).restart(undefined, reason)
  }

  /**
   * Transactions that the sink took are lost, because their process died. Requests them again, from the database's
   * position in the sink.
   */
  resend(database: string, reason: string): void {
    this.#lane(database).restart(this.#options.sink.positions().get(database), reason)
  }

  /** Applied up to here. */
  acknowledge(database: string, position: Position): void {
    this.#stream?.acknowledge(database, position)
  }

  /** This node stops. Resolves with whether the primary knows: see PrimaryStream. */
  async leave(withinMs: number): Promise<boolean> {
    return (await this.#stream?.leave(withinMs)) ?? false
  }

  status(): StreamClientStatus {
    const lastError = this.#lastError
    return {
      connected: this.#stream?.connected === true,
      lagMs: this.#lagMs,
      ...(lastError !== undefined && { lastError }),
    }
  }

  /** Resolves when the sink will not be called any more. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    this.#stream?.close('this node no longer follows')
    for (const timer of this.#timers) clearTimeout(timer)
    await this.#running
    await Promise.all([...this.#lanes.values()].map((lane) => lane.stop()))
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped
    const backoff = new Backoff(this.#options.reconnectMs)
    while (!signal.aborted) {
      const connectedMs = await this.#connectOnce()
      // A short connection counts as a failure: two nodes with one id would otherwise replace each other for ever.
      if (connectedMs > this.#options.reconnectMs) backoff.reset()
      for (const lane of this.#lanes.values()) lane.abort('the connection to the primary was lost')
      await Promise.all([backoff.wait(signal), ...[...this.#lanes.values()].map((lane) => lane.abortFinished())])
    }
  }

  /** Returns how long the connection lasted. */
  async #connectOnce(): Promise<number> {
    let connectedAtMs: number | undefined
    const connected = () => (connectedAtMs = performance.now())
    try {
      this.#stream = this.#newStream(connected)
      await this.#stream.run()
    } catch (error) {
      this.#report(error, connectedAtMs !== undefined)
    }
    this.#stream = undefined
    return connectedAtMs === undefined ? 0 : performance.now() - connectedAtMs
  }

  /** Throws StreamLostError when no connection can be begun. */
  #newStream(connected: () => void): PrimaryStream {
    let helloTerm = 0n
    return new PrimaryStream({
      sink: this.#options.sink,
      url: this.#options.primary.url,
      maxNames: this.#maxNames,
      term: () => this.#highestTerm(),
      lane: (name) => this.#lane(name),
      existing: (name) => this.#lanes.get(name),
      lanes: () => this.#lanes.values(),
      connected: ({ term, nodeId }) => {
        connected()
        // Until then, what the last connection brought may still make this node catch up.
        this.#catchUp = undefined
        helloTerm = term
        this.#lastError = undefined
        this.#logger.info({ peer: nodeId, term: term.toString() }, 'connected to the primary')
      },
      applied: () => this.#applied(helloTerm),
      caughtUp: (withholds) => {
        this.#withholds = withholds
        this.#catchUp = new CatchUp(this.#lanes.values())
        this.#progressed()
      },
      arrived: (timestampMs) => this.#arrived(timestampMs),
      alive: (hasAll) => {
        if (hasAll) this.#lagMs = 0
        this.#options.sink.alive(this.#lagMs)
        this.#progressed()
      },
    })
  }

  /** Throws StreamProtocolError when the primary names too many. */
  #lane(name: string): Lane {
    const known = this.#lanes.get(name)
    if (known !== undefined) return known
    const most = this.#maxNames
    if (this.#lanes.size >= most) throw new StreamProtocolError(`more than ${most} databases were named`)
    const { signal } = this.#stopped
    const lane = new Lane(name, {
      sink: this.#options.sink,
      logger: this.#limited,
      get stopped() {
        return signal.aborted
      },
      restart: (wanting) => this.#restart(wanting),
      progressed: () => this.#progressed(),
    })
    this.#lanes.set(name, lane)
    this.#stream?.attach(lane)
    return lane
  }

  #restart(lane: Lane): void {
    if (this.#stopped.signal.aborted) return
    const delayMs = lane.failureDelayMs()
    if (delayMs === 0) {
      this.#stream?.restart(lane)
      return
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      this.#stream?.restart(lane)
    }, delayMs)
    this.#timers.add(timer)
  }

  #progressed(): void {
    if (this.#catchUp?.reached() !== true) return
    this.#catchUp = undefined
    void this.#caughtUp(this.#stream)
  }

  /** Tried again with each progress and heartbeat: what the sink lacks comes with a snapshot. */
  async #caughtUp(stream: PrimaryStream | undefined): Promise<void> {
    const { sink, term } = this.#options
    try {
      if (await sink.caughtUp(this.#withholds ? undefined : term)) return
    } catch (error) {
      this.#limited.warn({ err: error }, 'that this node has caught up could not be noted: it is retried')
    }
    if (this.#stream === stream) this.#catchUp ??= new CatchUp(this.#lanes.values())
  }

  #arrived(timestampMs: number): void {
    this.#lagMs = Math.max(0, Date.now() - timestampMs)
    this.#options.sink.alive(this.#lagMs)
  }

  /**
   * I6: a node that has seen a term accepts no lower one. A hello alone proves none, or whoever answers once at the
   * primary's address could keep the primary out: the lease says a term, or what was applied proves it.
   */
  #highestTerm(): bigint {
    const { term, sink } = this.#options
    return [term, sink.term(), this.#appliedTerm].reduce((a, b) => (a > b ? a : b))
  }

  #applied(term: bigint): void {
    if (this.#options.term === 0n && term > this.#appliedTerm) this.#appliedTerm = term
  }

  /** Logs the loss of a connection, and each new reason why there is none, once. */
  #report(error: unknown, wasConnected: boolean): void {
    const message = errorMessage(error)
    const news = wasConnected || message !== this.#lastError
    this.#lastError = message
    if (this.#stopped.signal.aborted) return
    const what = wasConnected ? 'the stream from the primary was lost' : 'streaming from the primary failed'
    if (!(error instanceof LtxdError)) this.#logger.error({ err: error }, what)
    else if (news) this.#logger.warn({ err: error }, `${what}: it is retried`)
    else this.#logger.debug({ err: error }, what)
  }
}
