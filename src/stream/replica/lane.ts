import type { DatabaseOwner } from '../../data/database-owner.ts'
import type { Position } from '../../ltx/format/types.ts'
import { formatPosition, formatTXID } from '../../ltx/format/types.ts'
import { errorMessage } from '../../util/errors.ts'
import type { Logger } from '../../util/log.ts'
import { Body } from '../wire/body.ts'
import { StreamAbortedError, StreamProtocolError } from '../wire/errors.ts'
import { ITEM_COST_BYTES } from '../wire/flow.ts'
import type { SnapshotMessage, TransactionMessage } from '../wire/messages.ts'
import { Signal } from '../wire/signal.ts'
import { FailureDelay } from './failure-delay.ts'
import type { Consumed, Item, WantedRestart } from './lane-items.ts'
import type { StreamSink } from './sink.ts'

/** The client's side of a lane. */
export interface LaneHost {
  readonly sink: StreamSink
  readonly logger: Logger
  readonly stopped: boolean
  /** Request a restart of this database from the server, as soon as there is a connection. */
  restart(lane: Lane): void
  /** An item was applied or dropped. */
  progressed(): void
}

/** The received items of one database on the replica, which wait for the sink in order. */
export class Lane {
  readonly name: string
  readonly #host: LaneHost
  readonly #queue: Item[] = []
  #current: Item | undefined
  /** The current item was aborted, so that the sink does not apply it. */
  #isCurrentLost = false
  /** The item that is being received. */
  #open: { readonly body: Body; readonly sizeBytes: number; received: number } | undefined
  /** The position after all received items; undefined when not known. */
  #expected: Position | undefined
  /** The position after all items that the sink has applied. */
  #applied: Position | undefined
  #consumed: Consumed = () => undefined
  /** The newest item says that the primary has no such database: another one would say nothing new. */
  #unknownLast = false
  #wanted: WantedRestart | undefined
  #restarts = 0
  readonly #failureDelay = new FailureDelay()
  /** Why an item could not be applied, until one could: logged once. */
  #lastFailure: string | undefined
  readonly #next = new Signal()
  /** Counts of items that were received and not dropped, and of those that are applied. */
  received = 0
  done = 0

  constructor(name: string, host: LaneHost) {
    this.name = name
    this.#host = host
  }

  /** The restart that the server has not answered yet. Until it does, its messages do not fit this lane's state. */
  get wanted(): WantedRestart | undefined {
    return this.#wanted
  }

  /** The number of items that must be finished before the lane has caught up. A wanted snapshot counts as one more. */
  get awaited(): number {
    return this.received + (this.#wanted !== undefined && this.#wanted.position === undefined ? 1 : 0)
  }

  /** An item has begun to arrive, and has not ended. */
  get receiving(): boolean {
    return this.#open !== undefined
  }

  get busy(): boolean {
    return this.#current !== undefined
  }

  /** Called for each new connection. */
  attach(consumed: Consumed): void {
    this.#consumed = consumed
  }

  /** Resolves when the sink has finished an aborted item: until then the database's position is unknown. */
  async abortFinished(): Promise<void> {
    while (this.#current?.body?.failed === true) await this.#next.next
  }

  /** The position from which the server should continue. `applied` is the position that the sink reports. */
  position(applied: Position | undefined): Position | undefined {
    const expected = this.#expected
    if (expected === undefined || this.busy) return expected ?? applied
    return applied !== undefined && applied.txid >= expected.txid ? applied : expected
  }

  owner(owner: DatabaseOwner): void {
    this.#assertClosed()
    if (this.#wanted !== undefined) return this.#skip(ITEM_COST_BYTES)
    const run = () => this.#host.sink.owner(this.name, owner)
    this.#enqueue({ costBytes: ITEM_COST_BYTES, after: this.#expected, body: undefined, isKept: true, run })
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
    this.#enqueue({ costBytes, after, body: stream, isKept: true, run })
    if (stream === undefined) return
    this.#receive(stream, sizeBytes, 0)
    if (body.length > 0) this.chunk(body)
  }

  snapshot(message: SnapshotMessage): void {
    this.#assertClosed()
    if (this.#wanted !== undefined) {
      this.#skip(ITEM_COST_BYTES)
      this.#receive(this.#discarded(), message.sizeBytes, 0)
      return
    }
    const { position, preApplyChecksum, timestampMs, sizeBytes, fork, diverged, reason } = message
    const header = { position, preApplyChecksum, timestampMs, sizeBytes, fork: fork ?? undefined, diverged, reason }
    const body = this.#newBody()
    const run = () => {
      // After an aborted snapshot only the sink knows the database's position.
      this.#applied = undefined
      return this.#host.sink.snapshot(this.name, header, body)
    }
    this.#enqueue({ costBytes: ITEM_COST_BYTES, after: position, body, isKept: false, run })
    this.#receive(body, sizeBytes, 0)
  }

  chunk(bytes: Uint8Array): void {
    const open = this.#open
    if (open === undefined) throw this.#protocol('a chunk without a transaction or snapshot')
    open.received += bytes.length
    if (open.received > open.sizeBytes) throw this.#protocol('a transaction or snapshot is longer than announced')
    open.body.push(bytes)
    if (open.received === open.sizeBytes) this.#close()
  }

  /** The server, or the loss of the connection, aborted the item that was being received. */
  abort(reason: string): void {
    const open = this.#open
    if (open === undefined) return
    this.#open = undefined
    open.body.fail(new StreamAbortedError(this.name, reason))
    this.#dropAborted(open.body)
  }

  unknown(dropped?: Position): void {
    this.#assertClosed()
    if (this.#wanted !== undefined || this.#unknownLast) return
    const run = () => this.#host.sink.unknown(this.name, dropped)
    this.#enqueue({ costBytes: 0, after: undefined, body: undefined, isKept: false, run })
    this.#unknownLast = true
  }

  restarted(number: number): void {
    if (this.#wanted?.number !== number) return
    this.#assertClosed()
    this.#wanted = undefined
    this.#host.progressed()
  }

  /** Drops the waiting items, and requests a restart from `position`, or a snapshot. */
  restart(position: Position | undefined, reason: string): void {
    const open = this.#open
    this.#wanted = { number: ++this.#restarts, position, reason: reason.slice(0, 1000) }
    this.#expected = position
    this.#unknownLast = false
    this.#drop(0)
    if (open !== undefined) open.body.fail(new StreamAbortedError(this.name, reason))
    this.#host.restart(this)
    this.#host.progressed()
  }

  /** Records a failure; returns how long to wait before the restart is requested. */
  failureDelayMs(): number {
    return this.#failureDelay.nextMs()
  }

  /** Passes on the transactions that were received, up to what only this primary can continue: a snapshot, a drop. */
  async stop(): Promise<void> {
    this.abort('this node no longer follows')
    const dropped = this.#current?.isKept === false ? 0 : this.#queue.findIndex(({ isKept }) => !isKept)
    if (dropped >= 0) this.#drop(dropped)
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

  #receive(body: Body, sizeBytes: number, received: number): void {
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
    this.#unknownLast = false
    this.#queue.push(item)
    if (this.#current === undefined) void this.#work()
  }

  async #work(): Promise<void> {
    for (let item = this.#queue.shift(); item !== undefined; item = this.#queue.shift()) {
      this.#current = item
      try {
        await item.run()
        this.#applied = item.after
        this.#lastFailure = undefined
      } catch (error) {
        this.#failed(item, error)
      }
      item.body?.discard()
      if (this.#isCurrentLost) this.received--
      else this.done++
      this.#isCurrentLost = false
      this.#finish(item)
      this.#next.wake()
    }
    this.#current = undefined
    this.#next.wake()
    this.#host.progressed()
  }

  #finish(item: Item): void {
    if (item.costBytes > 0) item.consumed(this.name, item.costBytes)
    this.#host.progressed()
  }

  #failed({ after }: Item, error: unknown): void {
    if (error instanceof StreamAbortedError || this.#wanted !== undefined) return
    if (this.#host.stopped) return this.#drop(0) // What comes after it does not fit.
    const position = after === undefined ? {} : { position: formatPosition(after) }
    const reason = errorMessage(error)
    const fields = { database: this.name, ...position, err: error }
    const level = reason === this.#lastFailure ? 'debug' : 'warn'
    this.#lastFailure = reason
    this.#host.logger[level](fields, 'a change from the primary could not be applied: requesting a snapshot')
    const change = after === undefined ? 'the removal' : `the change to ${formatPosition(after)}`
    this.restart(undefined, `the replica could not apply ${change}: ${reason}`)
  }

  /** Without them this node has not caught up, unless they come again. */
  #drop(from: number): void {
    for (const item of this.#queue.splice(from)) {
      this.received--
      item.body?.discard()
      this.#finish(item)
    }
  }

  /** The aborted item is always the last one that was received. */
  #dropAborted(body: Body): void {
    if (this.#wanted !== undefined) return
    this.#isCurrentLost = this.#current?.body === body
    if (this.#isCurrentLost) return void (this.#expected = this.#applied)
    const at = this.#queue.findIndex((item) => item.body === body)
    if (at >= 0) this.#drop(at)
    this.#expected = this.#queue.at(-1)?.after ?? this.#current?.after ?? this.#applied
  }

  #assertClosed(): void {
    if (this.#open !== undefined) throw this.#protocol('a new item started before the previous one had ended')
  }

  #protocol(problem: string): StreamProtocolError {
    const at = this.#expected === undefined ? '' : ` after ${formatTXID(this.#expected.txid)}`
    return new StreamProtocolError(`${problem} (database ${this.name}${at})`)
  }
}
