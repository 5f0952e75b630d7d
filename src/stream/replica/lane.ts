import type { Position } from '../../ltx/format/types.ts'
import { formatPosition, formatTXID } from '../../ltx/format/types.ts'
import { errorMessage } from '../../util/errors.ts'
import type { Logger } from '../../util/log.ts'
import { Body } from '../wire/body.ts'
import { StreamAbortedError, StreamProtocolError } from '../wire/errors.ts'
import { ITEM_COST_BYTES } from '../wire/flow.ts'
import type { SnapshotMessage, TransactionMessage } from '../wire/messages.ts'
import { Signal } from '../wire/signal.ts'
import type { StreamSink } from './sink.ts'

/** What a lane tells the client. */
export interface LaneHost {
  readonly sink: StreamSink
  readonly logger: Logger
  /** The server is to begin this database anew; ask it as soon as there is a connection. */
  restart(lane: Lane): void
  /** Something was handed over, or given up. */
  progressed(): void
}

/** Told of bytes that no longer wait. Of the connection that they came by, which may be gone by then. */
export type Consumed = (database: string, bytes: number) => void

interface Item {
  /** Besides its body's. */
  readonly costBytes: number
  readonly consumed: Consumed
  /** Where the database is after it. */
  readonly after: Position | undefined
  readonly body: Body | undefined
  run(): Promise<void>
}

export interface WantedRestart {
  readonly number: number
  /** Undefined: a snapshot. */
  readonly position: Position | undefined
  readonly reason: string
}

const FIRST_DELAY_MS = 100
const MAX_DELAY_MS = 30_000
/** After so long without one, a failure is the first again. */
const FORGET_FAILURES_MS = 60_000

/** One database at the replica: what arrived and waits for the sink, in order. */
export class Lane {
  readonly name: string
  readonly #host: LaneHost
  readonly #queue: Item[] = []
  #current: Item | undefined
  /** Being received. */
  #open: { readonly body: Body; readonly sizeBytes: number | undefined; received: number } | undefined
  /** After all that was handed over or waits; undefined where that is not known. */
  #expected: Position | undefined
  /** After all that the sink took. */
  #handed: Position | undefined
  #consumed: Consumed = () => undefined
  #wanted: WantedRestart | undefined
  #restarts = 0
  #failures = 0
  #failedAtMs = -Infinity
  readonly #next = new Signal()
  /** Items that were received, and that are done with. */
  received = 0
  done = 0

  constructor(name: string, host: LaneHost) {
    this.name = name
    this.#host = host
  }

  /** What the server is to be asked for, and has not begun to answer. Until it does, what it sends is not for this lane's state. */
  get wanted(): WantedRestart | undefined {
    return this.#wanted
  }

  /** How many items must be done before this lane has what its restart is to bring: a snapshot is one more. */
  get awaited(): number {
    return this.received + (this.#wanted !== undefined && this.#wanted.position === undefined ? 1 : 0)
  }

  get busy(): boolean {
    return this.#current !== undefined
  }

  /** A new connection. */
  attach(consumed: Consumed): void {
    this.#consumed = consumed
  }

  /** Resolves when the sink no longer works on something that was broken off: until then nobody knows where the database is. */
  async settled(): Promise<void> {
    while (this.#current?.body?.failed === true) await this.#next.next
  }

  /** Where the server should go on from, given where the sink says the database is. */
  position(applied: Position | undefined): Position | undefined {
    const expected = this.#expected
    if (expected === undefined || this.busy) return expected ?? applied
    return applied !== undefined && applied.txid >= expected.txid ? applied : expected
  }

  transaction(message: TransactionMessage, body: Uint8Array): void {
    const { txid, timestampMs, preApplyChecksum, postApplyChecksum, sizeBytes } = message
    if (body.length > sizeBytes) throw this.#protocol('a transaction is longer than announced')
    this.#assertClosed()
    if (this.#wanted !== undefined) {
      this.#skip(body.length + ITEM_COST_BYTES)
      if (body.length < sizeBytes) this.#receive(this.#discarded(), sizeBytes, body.length)
      return
    }
    const { sink } = this.#host
    const header = { txid, timestampMs, preApplyChecksum, postApplyChecksum, sizeBytes }
    const after = { txid, checksum: postApplyChecksum }
    const whole = body.length === sizeBytes
    const stream = whole ? undefined : this.#newBody()
    const run = () => sink.transaction(this.name, stream ?? body, header)
    const costBytes = ITEM_COST_BYTES + (whole ? body.length : 0)
    this.#enqueue({ costBytes, after, body: stream, run })
    if (stream === undefined) return
    this.#receive(stream, sizeBytes, 0)
    if (body.length > 0) this.chunk(body)
  }

  snapshot(message: SnapshotMessage): void {
    this.#assertClosed()
    if (this.#wanted !== undefined) {
      this.#skip(ITEM_COST_BYTES)
      this.#receive(this.#discarded(), undefined, 0)
      return
    }
    const { position, preApplyChecksum, timestampMs, fork, diverged, reason } = message
    const header = { position, preApplyChecksum, timestampMs, fork: fork ?? undefined, diverged, reason }
    const body = this.#newBody()
    const run = () => {
      // Broken off, it leaves the database as the sink says, which need not be as before.
      this.#handed = undefined
      return this.#host.sink.snapshot(this.name, header, body)
    }
    this.#enqueue({ costBytes: ITEM_COST_BYTES, after: position, body, run })
    this.#receive(body, undefined, 0)
  }

  chunk(bytes: Uint8Array): void {
    const open = this.#open
    if (open === undefined) throw this.#protocol('a chunk of nothing')
    open.received += bytes.length
    open.body.push(bytes)
    if (open.sizeBytes === undefined || open.received < open.sizeBytes) return
    if (open.received > open.sizeBytes) throw this.#protocol('a transaction is longer than announced')
    this.#close()
  }

  endOfSnapshot(): void {
    if (this.#open === undefined || this.#open.sizeBytes !== undefined) throw this.#protocol('the end of no snapshot')
    this.#close()
  }

  /** The server, or the loss of the connection, broke off what was being received. */
  abort(reason: string): void {
    const open = this.#open
    if (open === undefined) return
    this.#open = undefined
    open.body.fail(new StreamAbortedError(this.name, reason))
    this.#dropBroken(open.body)
  }

  unknown(): void {
    this.#assertClosed()
    if (this.#wanted !== undefined) return
    const run = () => this.#host.sink.unknown(this.name)
    this.#enqueue({ costBytes: 0, after: undefined, body: undefined, run })
  }

  restarted(number: number): void {
    if (this.#wanted?.number !== number) return
    this.#assertClosed()
    this.#wanted = undefined
    this.#host.progressed()
  }

  /** Throws away what waits, and asks the server to go on from `position`, or for a snapshot. */
  restart(position: Position | undefined, reason: string): void {
    const open = this.#open
    this.#wanted = { number: ++this.#restarts, position, reason: reason.slice(0, 1000) }
    this.#expected = position
    this.#flush()
    if (open !== undefined) open.body.fail(new StreamAbortedError(this.name, reason))
    this.#host.restart(this)
    this.#host.progressed()
  }

  /** How long to wait before the server is asked again: a database that fails each time must not keep both nodes busy. */
  failureDelayMs(): number {
    const now = performance.now()
    if (now - this.#failedAtMs > FORGET_FAILURES_MS) this.#failures = 0
    this.#failedAtMs = now
    const delayMs = this.#failures === 0 ? 0 : Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (this.#failures - 1))
    this.#failures++
    return delayMs
  }

  /** Nothing more comes of what waits; resolves when the sink has done with what it has. */
  async stop(): Promise<void> {
    this.abort('this node no longer follows')
    this.#flush()
    while (this.#current !== undefined) await this.#next.next
  }

  #newBody(): Body {
    const consumed = this.#consumed
    return new Body((bytes) => consumed(this.name, bytes))
  }

  #discarded(): Body {
    const body = this.#newBody()
    body.discard()
    return body
  }

  #skip(bytes: number): void {
    this.#consumed(this.name, bytes)
  }

  #receive(body: Body, sizeBytes: number | undefined, received: number): void {
    this.#open = { body, sizeBytes, received }
  }

  #close(): void {
    this.#open?.body.end()
    this.#open = undefined
  }

  #enqueue(parts: Omit<Item, 'consumed'>): void {
    const item = { ...parts, consumed: this.#consumed }
    this.received++
    this.#expected = item.after
    this.#queue.push(item)
    if (this.#current === undefined) void this.#work()
  }

  async #work(): Promise<void> {
    for (let item = this.#queue.shift(); item !== undefined; item = this.#queue.shift()) {
      this.#current = item
      try {
        await item.run()
        this.#handed = item.after
      } catch (error) {
        this.#failed(item, error)
      }
      item.body?.discard()
      this.#finish(item)
      this.#next.wake()
    }
    this.#current = undefined
    this.#next.wake()
    this.#host.progressed()
  }

  #finish(item: Item): void {
    this.done++
    if (item.costBytes > 0) item.consumed(this.name, item.costBytes)
    this.#host.progressed()
  }

  #failed({ after }: Item, error: unknown): void {
    if (error instanceof StreamAbortedError || this.#wanted !== undefined) return
    const what = after === undefined ? 'its removal' : `what leads to ${formatPosition(after)}`
    this.#host.logger.warn({ db: this.name, err: error }, `cannot take ${what}; asking for a snapshot`)
    this.restart(undefined, `the replica could not take ${what}: ${errorMessage(error)}`)
  }

  #flush(): void {
    for (const item of this.#queue.splice(0)) {
      item.body?.discard()
      this.#finish(item)
    }
  }

  /** What was broken off is always the last that was received. */
  #dropBroken(body: Body): void {
    if (this.#wanted !== undefined) return
    if (this.#current?.body === body) {
      this.#expected = this.#handed
      return
    }
    const at = this.#queue.findIndex((item) => item.body === body)
    if (at >= 0) this.#finish(this.#queue.splice(at, 1)[0] as Item)
    this.#expected = this.#queue.at(-1)?.after ?? this.#current?.after ?? this.#handed
  }

  #assertClosed(): void {
    if (this.#open !== undefined) throw this.#protocol('something new began before the last had ended')
  }

  #protocol(problem: string): StreamProtocolError {
    const at = this.#expected === undefined ? '' : ` after ${formatTXID(this.#expected.txid)}`
    return new StreamProtocolError(`${problem} (database ${this.name}${at})`)
  }
}
