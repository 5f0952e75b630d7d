import type { IncomingMessage, ServerResponse } from 'node:http'
import pLimit from 'p-limit'
import type { Position } from '../../ltx/format/types.ts'
import { errorMessage } from '../../util/errors.ts'
import type { Logger } from '../../util/log.ts'
import { StreamLostError, StreamProtocolError, StreamRefusedError } from '../wire/errors.ts'
import { Flow, MAX_OPEN_BODIES } from '../wire/flow.ts'
import { FrameWriter } from '../wire/frame-writer.ts'
import { refuseReplica } from '../wire/hello.ts'
import type { ReplicaHello, ReplicaMessage } from '../wire/messages.ts'
import {
  CONTENT_TYPE,
  encodePrimaryMessage,
  HEARTBEAT_MS,
  parseReplicaMessage,
  PROTOCOL_VERSION,
} from '../wire/messages.ts'
import { answerError } from '../wire/refusal.ts'
import { FrameParser } from '../wire/wire.ts'
import { Feed } from './feed.ts'
import type { GroupSync } from './group-sync.ts'
import { SentPositions } from './sent.ts'
import type { StreamedDatabase, StreamSource } from './source.ts'

/** Feeds that read their logs at the same time. */
const MAX_BATCHES = 8
/** A replica from which nothing came for so many heartbeats is gone: it says every half second that it lives. */
const SILENT_BEATS = 10

/** What the server gives each of its connections. */
export interface ReplicaStreamHost {
  readonly source: StreamSource
  readonly syncs: GroupSync
  readonly logger: Logger
  /** In which this node led when the connection came. */
  readonly term: bigint
  readonly databases: () => ReadonlyMap<string, StreamedDatabase>
  welcomed(stream: ReplicaStream): void
  /** An acknowledgement came, or a feed got further. */
  moved(): void
}

/** One replica's connection, as the primary sees it. */
export class ReplicaStream {
  readonly connectedAtMs = Date.now()
  readonly feeds = new Map<string, Feed>()
  hello: ReplicaHello | undefined
  readonly #host: ReplicaStreamHost
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #writer: FrameWriter
  readonly #flow = new Flow()
  readonly #ended = new AbortController()
  readonly #batches = pLimit(MAX_BATCHES)
  readonly #bodies = pLimit(MAX_OPEN_BODIES)
  readonly #announced = new Map<string, Position>()
  /** The replica has said what it has. */
  #complete = false
  #caughtUpSent = false
  #silentBeats = 0
  #logger: Logger

  constructor(host: ReplicaStreamHost, request: IncomingMessage, response: ServerResponse) {
    this.#host = host
    this.#request = request
    this.#response = response
    this.#logger = host.logger
    this.#writer = new FrameWriter(response)
  }

  /** Sent, and not taken by the replica's sink. */
  get unconsumedBytes(): number {
    return this.#flow.totalBytes
  }

  get ended(): boolean {
    return this.#ended.signal.aborted
  }

  /** Until the connection has ended, for whatever reason. */
  async run(): Promise<void> {
    this.#request.socket.setNoDelay(true)
    const heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS)
    this.#response.on('close', () => this.#lost(new StreamLostError('the connection was closed')))
    this.#response.on('error', (error) => this.#lost(error))
    this.#request.on('error', (error) => this.#lost(error))
    const parser = new FrameParser()
    this.#request.on('data', (chunk: Buffer) => {
      if (this.ended) return
      this.#silentBeats = 0
      try {
        for (const frame of parser.push(chunk)) this.#receive(parseReplicaMessage(frame))
      } catch (error) {
        this.#fail(error)
      }
    })
    this.#request.on('end', () => this.#lost(new StreamLostError('the replica ended the stream')))
    await new Promise<void>((resolve) => this.#ended.signal.addEventListener('abort', () => resolve()))
    clearInterval(heartbeat)
  }

  /** Looks for new databases, and wakes feeds whose log has moved. */
  look(databases: ReadonlyMap<string, StreamedDatabase>, positions: ReadonlyMap<string, Position>): void {
    if (!this.#complete || this.ended || !this.#assertLeading()) return
    for (const [name, position] of positions) {
      const feed = this.feeds.get(name)
      if (feed === undefined) this.#begin(name, this.#announced.get(name))
      else feed.look(position)
    }
    for (const [name, feed] of this.feeds) if (!databases.has(name) && feed.at !== undefined) feed.wake()
  }

  /** Ends the stream, telling why. */
  end(code: string, reason: string): void {
    if (this.ended) return
    if (this.#response.headersSent) {
      this.#response.end(encodePrimaryMessage({ type: 'end', code, reason: reason.slice(0, 1000) }))
    } else {
      answerError(this.#response, new StreamRefusedError(code, reason))
    }
    this.#request.resume()
    this.#lost(new StreamLostError(reason))
  }

  /** Gives what was written a moment to leave, then cuts. */
  async closed(withinMs: number): Promise<void> {
    if (this.#response.closed) return
    const closed = new Promise<void>((resolve) => this.#response.once('close', () => resolve()))
    const timer = setTimeout(() => this.#request.destroy(), withinMs)
    await closed
    clearTimeout(timer)
  }

  #receive(message: ReplicaMessage): void {
    if (this.ended) return
    if (message.type === 'hello') {
      this.#welcome(message)
      return
    }
    if (this.hello === undefined) throw new StreamProtocolError(`"${message.type}" came before "hello"`)
    switch (message.type) {
      case 'positions':
        this.#announce(message.positions, message.complete)
        return
      case 'acknowledge':
        this.#acknowledge(message.positions)
        return
      case 'credit':
        this.#credit(message.database, message.bytes)
        return
      case 'history':
        this.feeds.get(message.database)?.giveHistory(message.positions)
        return
      case 'restart':
        this.#restart(message)
        return
      case 'alive':
        return
    }
  }

  #welcome(hello: ReplicaHello): void {
    if (this.hello !== undefined) throw new StreamProtocolError('"hello" came twice')
    const { source, term } = this.#host
    const self = { nodeId: source.nodeId, hostname: source.hostname, clusterId: source.clusterId(), term }
    const refusal = refuseReplica(hello, self)
    if (refusal !== undefined) {
      const { nodeId: peer, hostname: host } = hello
      this.#logger.warn({ peer, host, code: refusal.rule, reason: refusal.message }, 'rejected a replica')
      this.end(refusal.rule, refusal.message)
      return
    }
    if (!this.#assertLeading()) return
    this.hello = hello
    this.#logger = this.#host.logger.child({ peer: hello.nodeId, host: hello.hostname })
    this.#response.writeHead(200, { 'content-type': CONTENT_TYPE, connection: 'close' })
    this.#writer.writeNow(encodePrimaryMessage({ type: 'hello', protocol: PROTOCOL_VERSION, ...self }))
    this.#host.welcomed(this)
    this.#logger.info({ url: hello.url }, 'replica connected')
  }

  #announce(positions: readonly (readonly [string, Position])[], complete: boolean): void {
    if (this.#complete) throw new StreamProtocolError('"positions" came after the last of them')
    for (const [name, position] of positions) this.#announced.set(name, position)
    if (!complete) return
    this.#complete = true
    const databases = this.#host.databases()
    for (const name of new Set([...this.#announced.keys(), ...databases.keys()])) {
      this.#begin(name, this.#announced.get(name))
    }
    this.#tellCaughtUp()
  }

  #begin(name: string, at: Position | undefined): void {
    const { source, syncs } = this.#host
    const feed = new Feed(name, at, new SentPositions(), {
      flow: this.#flow,
      logger: this.#logger,
      temporaryParent: source.temporaryParent,
      signal: this.#ended.signal,
      database: (wanted) => this.#host.databases().get(wanted),
      sync: (log) => syncs.sync(log),
      send: (message, body) => this.#send(encodePrimaryMessage(message, ...(body === undefined ? [] : [body]))),
      sendFrames: (frames) => this.#send(frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames)),
      batches: (work) => this.#batches(work),
      bodies: (work) => this.#bodies(work),
      moved: () => {
        this.#tellCaughtUp()
        this.#host.moved()
      },
    })
    this.feeds.set(name, feed)
    feed.run().catch((error: unknown) => this.#fail(error))
  }

  /** I6: checked right before the bytes are handed over. */
  #send(frame: Buffer): Promise<void> {
    return this.#writer.write(frame, () => {
      if (!this.#assertLeading()) throw new StreamLostError('this node no longer leads')
    })
  }

  #assertLeading(): boolean {
    if (this.#host.source.term() === this.#host.term) return true
    this.end('TERM_ENDED', `this node no longer leads in term ${this.#host.term}`)
    return false
  }

  #acknowledge(positions: readonly (readonly [string, Position])[]): void {
    let news = false
    for (const [name, position] of positions) news = this.feeds.get(name)?.sent.acknowledge(position) === true || news
    if (news) this.#host.moved()
  }

  #credit(database: string, bytes: number): void {
    const full = this.#flow.full
    this.#flow.give(database, bytes)
    if (full) for (const feed of this.feeds.values()) feed.wake()
    else this.feeds.get(database)?.wake()
  }

  #restart({ database, number, position, reason }: Extract<ReplicaMessage, { type: 'restart' }>): void {
    this.#logger.info({ database, reason }, 'the replica requests a restart of a database')
    const feed = this.feeds.get(database)
    if (feed === undefined && !this.#complete) throw new StreamProtocolError('"restart" came before "positions"')
    if (feed === undefined) this.#begin(database, position ?? undefined)
    this.feeds.get(database)?.restart({ number, position: position ?? undefined, reason })
    this.#flow.given.wake()
  }

  #tellCaughtUp(): void {
    if (this.#caughtUpSent || !this.#complete || this.ended) return
    for (const feed of this.feeds.values()) if (!feed.caughtUp) return
    this.#caughtUpSent = true
    this.#writer.writeNow(encodePrimaryMessage({ type: 'caught-up' }))
  }

  #beat(): void {
    if (++this.#silentBeats > SILENT_BEATS) {
      this.#fail(new StreamLostError(`nothing was heard of the replica for ${SILENT_BEATS} heartbeats`))
      return
    }
    if (this.hello === undefined || !this.#assertLeading() || this.#writer.blocked) return
    this.#writer.writeNow(encodePrimaryMessage({ type: 'heartbeat' }))
  }

  #fail(error: unknown): void {
    if (this.ended) return
    this.#logger.warn({ err: error }, 'the stream to the replica failed: closing it')
    const code = error instanceof StreamProtocolError ? error.code : 'STREAM_FAILED'
    this.end(code, errorMessage(error))
  }

  #lost(error: Error): void {
    if (this.ended) return
    this.#writer.end(error)
    this.#ended.abort(error)
    this.#flow.given.wake()
    for (const feed of this.feeds.values()) feed.wake()
    if (this.hello !== undefined) this.#logger.info({ reason: error.message }, 'replica disconnected')
  }
}
