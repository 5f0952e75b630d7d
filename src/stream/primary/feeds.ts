import type { Position } from '../../ltx/format/types.ts'
import { StreamProtocolError } from '../wire/errors.ts'
import type { ReplicaMessage } from '../wire/messages.ts'
import { Feed } from './feed.ts'
import type { FeedHost } from './feed-host.ts'
import { SentPositions } from './sent.ts'
import type { StreamedDatabase } from './source.ts'

/** What the feeds of a connection need of it. */
export interface FeedsHost {
  /** Databases that the replica may name. */
  readonly maxNames: number
  databases(): ReadonlyMap<string, StreamedDatabase>
  /** A feed cannot continue. */
  failed(error: unknown): void
  readonly feed: FeedHost
}

/** The feeds of one connection: one for each database of the primary, and for each that the replica names. */
export class Feeds {
  readonly #host: FeedsHost
  readonly #feeds = new Map<string, Feed>()
  /** The replica's positions, until it has announced all of them. */
  readonly #announced = new Map<string, Position>()
  #complete = false

  constructor(host: FeedsHost) {
    this.#host = host
  }

  get(database: string): Feed | undefined {
    return this.#feeds.get(database)
  }

  /** The replica has announced all its databases, and everything that the logs held then has been sent. */
  get caughtUp(): boolean {
    if (!this.#complete) return false
    for (const feed of this.#feeds.values()) if (!feed.caughtUp) return false
    return true
  }

  /** Nothing that the logs hold now is left to send. */
  get sentAll(): boolean {
    if (!this.#complete) return false
    for (const [name, { log }] of this.#host.databases()) {
      if (this.#feeds.get(name)?.hasSent(log.position()) !== true) return false
    }
    return true
  }

  /** The replica has these databases, and no others once `complete` is set. Throws StreamProtocolError. */
  announce(positions: readonly (readonly [string, Position])[], complete: boolean): void {
    if (this.#complete) throw new StreamProtocolError('"positions" came after the last of them')
    for (const [name, position] of positions) this.#announced.set(name, position)
    this.#assertNames(this.#announced.size)
    if (!complete) return
    this.#complete = true
    for (const [name, position] of this.#announced) this.#begin(name, position)
    this.#announced.clear()
    this.#beginNew(this.#host.databases().keys())
  }

  /** Begins feeds of new databases, and wakes those whose log has moved or was removed. */
  update(databases: ReadonlyMap<string, StreamedDatabase>, positions: ReadonlyMap<string, Position>): void {
    if (!this.#complete) return
    for (const [name, position] of positions) this.#feeds.get(name)?.compare(position, databases.get(name)?.owner)
    this.#beginNew(positions.keys())
    for (const [name, feed] of this.#feeds) if (!databases.has(name)) this.#rest(name, feed)
  }

  /** The primary has no such database: one that was dropped occupies nothing once the replica knows that. */
  #rest(name: string, feed: Feed): void {
    if (!feed.isResting) return feed.wake()
    feed.end()
    this.#feeds.delete(name)
  }

  /** Returns whether any acknowledgement is new. */
  acknowledge(positions: readonly (readonly [string, Position])[]): boolean {
    let news = false
    for (const [name, position] of positions) news = this.#feeds.get(name)?.sent.acknowledge(position) === true || news
    return news
  }

  /** Throws StreamProtocolError. */
  restart({ database, number, position, reason }: Extract<ReplicaMessage, { type: 'restart' }>): void {
    if (!this.#complete) throw new StreamProtocolError('"restart" came before the last of the "positions"')
    let feed = this.#feeds.get(database)
    if (feed === undefined) {
      this.#assertNames(this.#feeds.size - this.#host.databases().size + 1)
      feed = this.#begin(database, position ?? undefined)
    }
    feed.restart({ number, position: position ?? undefined, reason })
  }

  wake(): void {
    for (const feed of this.#feeds.values()) feed.wake()
  }

  /** I10: what a replica names is remembered. */
  #assertNames(count: number): void {
    const { maxNames } = this.#host
    if (count > maxNames) throw new StreamProtocolError(`more than ${maxNames} databases were named`)
  }

  #beginNew(names: Iterable<string>): void {
    for (const name of names) if (!this.#feeds.has(name)) this.#begin(name, undefined)
  }

  #begin(name: string, at: Position | undefined): Feed {
    const feed = new Feed(name, at, new SentPositions(), this.#host.feed)
    this.#feeds.set(name, feed)
    feed.run().catch((error: unknown) => this.#host.failed(error))
    return feed
  }
}
