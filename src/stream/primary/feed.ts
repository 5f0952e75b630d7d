import { setTimeout as sleep } from 'node:timers/promises'
import { SnapshotError } from '../../image/errors.ts'
import type { Position, TXID } from '../../ltx/format/types.ts'
import { formatPosition, formatTXID, samePosition } from '../../ltx/format/types.ts'
import { errorMessage } from '../../util/errors.ts'
import { Signal } from '../wire/signal.ts'
import { continuation, findFork, isGone, isInHistory, isLogMoved } from './continuation.ts'
import type { FeedHost } from './feed-host.ts'
import { OwnerFeed } from './owner-feed.ts'
import { RestartRequested, sendSnapshot, sendTransactions } from './sending.ts'
import type { SentPositions } from './sent.ts'
import type { StreamedDatabase, StreamedOwner } from './source.ts'

const FIRST_RETRY_MS = 50
const MAX_RETRY_MS = 5_000

export interface Restart {
  readonly number: number
  readonly position: Position | undefined
  readonly reason: string
}

/** One database on its way to one replica: finds what comes next, sends it, and waits for more. */
export class Feed {
  readonly name: string
  readonly sent: SentPositions
  readonly #host: FeedHost
  readonly #signal = new Signal()
  /** The replica's position once everything that was sent has arrived. */
  #at: Position | undefined
  /** The drop of which the replica was told last. */
  #told: Position | undefined
  /** `#at` was found in the log. */
  #verified = false
  #snapshotReason: string | undefined
  #restart: Restart | undefined
  #history: readonly Position[] | undefined
  #historyRequested = false
  #failures = 0
  #isResting = false
  #ended = false
  /** The log's position when the stream began, until everything up to it has been sent. */
  #target: Position | undefined
  readonly #owner: OwnerFeed
  /** The newest transaction that the replica may have: announced by it, or sent to it. */
  #newest: TXID

  constructor(name: string, at: Position | undefined, sent: SentPositions, host: FeedHost) {
    this.name = name
    this.sent = sent
    this.#at = at
    this.#host = host
    this.#owner = new OwnerFeed(name, host)
    this.#target = (host.database(name) ?? host.withheld?.(name))?.log.position()
    this.#newest = at?.txid ?? (0n as TXID)
  }

  get at(): Position | undefined {
    return this.#at
  }

  /** Everything that the log held when the stream began has been sent. */
  get caughtUp(): boolean {
    return this.#target === undefined
  }

  /** The replica has acknowledged `target`, or has nothing to receive up to it. */
  covers(target: Position): boolean {
    if (isGone(target) && this.#verified && this.#at === undefined) return true
    const { acknowledged } = this.sent
    if (acknowledged === undefined) return false
    return acknowledged.txid > target.txid || samePosition(acknowledged, target)
  }

  /** Whether nothing up to there is left to send. */
  hasSent(position: Position): boolean {
    if (this.#restart !== undefined) return false
    return this.#at === undefined ? isGone(position) : samePosition(this.#at, position)
  }

  /** Wakes the feed when the log is at another position, or the database's owner has changed. */
  compare(position: Position, owner: StreamedOwner | undefined): void {
    if (!this.#verified || !this.hasSent(position) || this.#owner.isStale(owner)) this.#signal.wake()
  }

  wake(): void {
    this.#signal.wake()
  }

  /** There is nothing more to say of the database, unless one is made under the name. */
  get isResting(): boolean {
    return this.#isResting && this.#restart === undefined
  }

  /** `run` returns. */
  end(): void {
    this.#ended = true
    this.#signal.wake()
  }

  /** The replica requests a restart. */
  restart(restart: Restart): void {
    this.#restart = restart
    this.#signal.wake()
  }

  receiveHistory(history: readonly Position[]): void {
    if (!this.#historyRequested) return
    this.#history = history
    this.#signal.wake()
  }

  /** Runs until the connection ends. Rejects when the feed cannot continue. */
  async run(): Promise<void> {
    while (!this.#host.signal.aborted && !this.#ended) {
      const woken = this.#signal.next
      if (!(await this.#tryStep())) await woken
    }
  }

  async #tryStep(): Promise<boolean> {
    try {
      const progress = await this.#step()
      this.#failures = 0
      return progress
    } catch (error) {
      if (this.#host.signal.aborted) return false
      if (error instanceof RestartRequested) return true
      if (!isLogMoved(error) && !(error instanceof SnapshotError)) throw error
      await this.#recover(error)
      return true
    }
  }

  /** Retries once. A log that still cannot be read is replaced by a snapshot. */
  async #recover(error: unknown): Promise<void> {
    const { signal } = this.#host
    const logger = this.#host.logger()
    this.#verified = false
    this.#failures++
    logger.debug({ database: this.name, err: error, failures: this.#failures }, 'streaming a database failed')
    if (this.#failures === 1) return
    if (!(error instanceof SnapshotError)) this.#snapshotReason ??= `the log cannot be read: ${errorMessage(error)}`
    if (this.#failures === 5) {
      logger.warn({ database: this.name, err: error }, 'the database cannot be streamed: it is retried')
    }
    const waitMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#failures - 2))
    await sleep(waitMs, undefined, { signal }).catch(() => undefined)
  }

  async #step(): Promise<boolean> {
    this.#isResting = false
    await this.#beginRestart()
    const database = this.#host.database(this.name)
    if (database === undefined) {
      const withheld = this.#host.withheld?.(this.name)
      if (withheld === undefined) return this.#sendUnknown(this.#host.droppedAt(this.name), true)
      // Nothing is sent of it, and nothing discarded.
      return this.#target !== undefined && (await isInHistory(withheld.log, this.#at)) && this.#reachedTarget()
    }
    // First, so that the replica makes the file as it is to be.
    if (!(await this.#owner.send(database))) return false
    const position = database.log.position()
    if (this.#verified && this.#at !== undefined && samePosition(this.#at, position)) return this.#reachedTarget()
    const here = await this.#host.sync(database.log)
    if (this.#snapshotReason !== undefined) return this.#snapshot(database, { reason: this.#snapshotReason })
    if (this.#verified && this.#at !== undefined && this.#at.txid < here.txid) return this.#transactions(database, here)
    return this.#continue(database, here)
  }

  async #beginRestart(): Promise<void> {
    const restart = this.#restart
    if (restart === undefined) return
    this.#restart = undefined
    this.#at = restart.position
    this.#told = undefined
    if (restart.position !== undefined && restart.position.txid > this.#newest) this.#newest = restart.position.txid
    this.#verified = false
    this.#historyRequested = false
    this.#history = undefined
    this.#snapshotReason = restart.position === undefined ? `the replica requested it: ${restart.reason}` : undefined
    this.sent.begin(undefined)
    this.#owner.forget()
    await this.#host.send({ type: 'restarted', database: this.name, number: restart.number })
  }

  async #continue(database: StreamedDatabase, here: Position): Promise<boolean> {
    const next = await continuation(database.log, this.#at, here)
    switch (next.kind) {
      case 'nothing':
      case 'transactions':
        this.#verified = true
        this.sent.begin(this.#at)
        this.#host.moved()
        return next.kind === 'transactions' ? true : this.#reachedTarget()
      case 'gone':
        return this.#sendUnknown(here)
      case 'snapshot':
        return this.#snapshot(database, { reason: next.reason })
      case 'differs':
        return this.#differs(database, here, next.reason)
    }
  }

  async #differs(database: StreamedDatabase, here: Position, reason: string): Promise<boolean> {
    if (this.#history === undefined) {
      if (!this.#historyRequested) await this.#host.send({ type: 'history-wanted', database: this.name })
      this.#historyRequested = true
      return false
    }
    const fork = await findFork(database.log, here, this.#history)
    const parted = fork === undefined ? 'no common transaction is known' : `they part after ${formatTXID(fork)}`
    this.#host.logger().warn({ database: this.name, reason: `${reason}; ${parted}` }, 'the replica has another history')
    if (isGone(here)) return this.#sendUnknown(here)
    return this.#snapshot(database, { reason: `${reason}; ${parted}`, fork, diverged: true })
  }

  /**
   * The primary has no such database. One that the replica has does not belong to the cluster, or was dropped there. A
   * name that was dropped must not begin anew on the replica either, should it lead one day: it is told the position.
   */
  async #sendUnknown(dropped?: Position, isReleased = false): Promise<boolean> {
    const wasDropped = dropped !== undefined && dropped.txid > 0n
    const known = this.#at ?? this.#told
    const hasDrop = wasDropped && known !== undefined && samePosition(known, dropped)
    const hasIt = this.#at !== undefined && this.#at.txid > 0n
    if ((hasIt || wasDropped) && !hasDrop) {
      await this.#host.send({ type: 'unknown', database: this.name, ...(wasDropped && { dropped }) })
      this.#told = dropped
      this.#at = undefined
      this.sent.begin(undefined)
    }
    this.#snapshotReason = undefined
    this.#verified = true
    this.#isResting = isReleased
    return this.#reachedTarget()
  }

  async #transactions(database: StreamedDatabase, here: Position): Promise<boolean> {
    if (this.#host.flow.roomToBegin(this.name) <= 0) return false
    const at = await sendTransactions(database, this.#at as Position, here, this.#host, {
      interrupted: () => this.#restart !== undefined,
      sending: (position) => this.#sending(position),
      sent: (position) => {
        this.#at = position
      },
    })
    if (at === 'other history') this.#verified = false
    this.#reach(this.#at)
    return at !== 'waits'
  }

  async #snapshot(
    database: StreamedDatabase,
    why: { readonly reason: string; readonly fork?: TXID | undefined; readonly diverged?: boolean },
  ): Promise<boolean> {
    if (!this.#host.flow.isFlowing(this.name) || this.#host.flow.roomToBegin(this.name) <= 0) return false
    this.#host.logger().info({ database: this.name, reason: why.reason }, 'sending a snapshot to the replica')
    const position = await sendSnapshot(database, this.#host, {
      reason: why.reason,
      fork: why.fork,
      diverged: why.diverged ?? false,
      newest: this.#newest,
      interrupted: () => this.#restart !== undefined,
      sending: (at) => {
        this.sent.begin(undefined)
        this.#sending(at)
      },
    })
    this.#snapshotReason = undefined
    this.#history = undefined
    this.#historyRequested = false
    if (position === undefined) return this.#sendUnknown()
    this.#host.logger().debug({ database: this.name, position: formatPosition(position) }, 'snapshot sent')
    this.#at = position
    this.#verified = true
    this.#reach(position)
    return true
  }

  #sending(position: Position): void {
    this.sent.add(position)
    if (position.txid > this.#newest) this.#newest = position.txid
  }

  #reach(at: Position | undefined): void {
    if (this.#target !== undefined && at !== undefined && at.txid >= this.#target.txid) this.#reachedTarget()
  }

  #reachedTarget(): false {
    if (this.#target !== undefined) {
      this.#target = undefined
      this.#host.moved()
    }
    return false
  }
}
