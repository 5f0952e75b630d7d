import type { IncomingMessage, ServerResponse } from 'node:http'
import pLimit from 'p-limit'
import type { Position } from '../../ltx/format/types.ts'
import { errorMessage } from '../../util/errors.ts'
import { limitLines, type Logger } from '../../util/log.ts'
import { controllerForMany } from '../../util/waits.ts'
import { StreamLostError, StreamProtocolError, StreamRejectedError } from '../wire/errors.ts'
import { Flow, MAX_OPEN_BODIES } from '../wire/flow.ts'
import { FrameWriter } from '../wire/frame-writer.ts'
import { rejectionOfReplica } from '../wire/hello.ts'
import type { ReplicaHello, ReplicaMessage } from '../wire/messages.ts'
import {
  CONTENT_TYPE,
  encodePrimaryMessage,
  HEARTBEAT_MS,
  parseReplicaMessage,
  PROTOCOL_VERSION,
} from '../wire/messages.ts'
import { sendRejection } from '../wire/rejection.ts'
import { FrameParser } from '../wire/wire.ts'
import type { FeedHost } from './feed-host.ts'
import { Feeds } from './feeds.ts'
import type { ReplicaStreamHost } from './replica-stream-host.ts'
import type { StreamedDatabase } from './source.ts'

/** Feeds that read their logs at the same time. */
const MAX_BATCHES = 8
/** A replica is lost after so many heartbeats without a message. It sends one every half second. */
const SILENT_BEATS = 10

/** One replica's connection, as the primary sees it. */
export class ReplicaStream {
  readonly connectedAtMs = Date.now()
  readonly feeds: Feeds
  hello: ReplicaHello | undefined
  readonly #host: ReplicaStreamHost
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #writer: FrameWriter
  readonly #flow = new Flow()
  /** Every database may wait on it. */
  readonly #ended = controllerForMany()
  readonly #batches = pLimit(MAX_BATCHES)
  readonly #bodies = pLimit(MAX_OPEN_BODIES)
  /** Snapshots of this replica that are sent or wait for their turn: a few, so that those of other replicas get one. */
  readonly #snapshots = pLimit(MAX_OPEN_BODIES)
  #caughtUpSent = false
  #isLeaving = false
  /** This node has made the replica its successor. */
  isSuccessor = false
  #silentBeats = 0
  /** The reason has been logged. */
  #failed = false
  #logger: Logger
  /** For what the replica causes. */
  #limited: Logger

  constructor(host: ReplicaStreamHost, request: IncomingMessage, response: ServerResponse) {
    this.#host = host
    this.#request = request
    this.#response = response
    this.#logger = host.logger
    this.#limited = host.logger
    this.#writer = new FrameWriter(response)
    this.feeds = new Feeds({
      maxNames: host.maxNames,
      databases: host.databases,
      failed: (error) => this.#fail(error),
      feed: this.#feedHost(),
    })
  }

  /** Sent, but not consumed by the replica's sink. */
  get unconsumedBytes(): number {
    return this.#flow.totalBytes
  }

  /** The replica stops, and knows that it will not be made the successor. */
  get leaving(): boolean {
    return this.#isLeaving
  }

  /** It can lead after this node: it stays, and is a candidate. */
  get mayLead(): boolean {
    return !this.leaving && this.hello?.candidate !== false
  }

  get ended(): boolean {
    return this.#ended.signal.aborted
  }

  /** Resolves when the connection has ended, for any reason. */
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

  /** The databases or their positions have changed. */
  update(databases: ReadonlyMap<string, StreamedDatabase>, positions: ReadonlyMap<string, Position>): void {
    if (!this.ended && this.#assertLeading()) this.feeds.update(databases, positions)
  }

  /** Ends the stream, and sends the reason. */
  end(code: string, reason: string): void {
    if (this.ended) return
    if (this.#response.headersSent) {
      this.#response.end(encodePrimaryMessage({ type: 'end', code, reason: reason.slice(0, 1000) }))
    } else {
      sendRejection(this.#response, new StreamRejectedError(code, reason))
    }
    this.#request.resume()
    this.#lost(new StreamLostError(reason))
  }

  /** Gives the last bytes `withinMs` to leave, then closes the connection. */
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
        this.feeds.announce(message.positions, message.complete)
        this.#sendCaughtUp()
        return
      case 'acknowledge':
        if (this.feeds.acknowledge(message.positions)) this.#host.moved()
        return
      case 'credit':
        this.#credit(message.database, message.bytes)
        return
      case 'history':
        this.feeds.get(message.database)?.receiveHistory(message.positions)
        return
      case 'restart':
        this.#limited.info(
          { database: message.database, reason: message.reason },
          'the replica requests a restart of a database',
        )
        this.feeds.restart(message)
        this.#flow.given.wake()
        return
      case 'alive':
        if (message.leaving === true) this.#leave()
        return
    }
  }

  #welcome(hello: ReplicaHello): void {
    if (this.hello !== undefined) throw new StreamProtocolError('"hello" came twice')
    const { source, term } = this.#host
    const self = { nodeId: source.nodeId, hostname: source.hostname, clusterId: source.clusterId(), term }
    const rejection = rejectionOfReplica(hello, self)
    if (rejection !== undefined) {
      const { nodeId: peer, hostname: host } = hello
      this.#logger.warn({ peer, host, code: rejection.rule, reason: rejection.message }, 'rejected a replica')
      this.end(rejection.rule, rejection.message)
      return
    }
    if (!this.#assertLeading()) return
    this.hello = hello
    this.#host.welcomed()
    this.#logger = this.#host.logger.child({ peer: hello.nodeId, host: hello.hostname })
    this.#limited = limitLines(this.#logger)
    this.#response.writeHead(200, { 'content-type': CONTENT_TYPE, connection: 'close' })
    this.#writer.writeNow(encodePrimaryMessage({ type: 'hello', protocol: PROTOCOL_VERSION, ...self, leaves: true }))
    this.tellNodes()
    this.#logger.info({ url: hello.url }, 'replica connected')
  }

  tellNodes(): void {
    if (this.hello?.nodes !== true || this.ended) return
    this.#writer.writeNow(encodePrimaryMessage({ type: 'nodes', nodes: this.#host.source.nodes() }))
  }

  /** A replica that is the successor already must lead before it stops. It hears so by the end of this stream. */
  #leave(): void {
    if (this.isSuccessor || this.ended) return
    this.#isLeaving = true
    this.#host.left()
    this.#writer.writeNow(encodePrimaryMessage({ type: 'heartbeat', leaving: true }))
    this.#host.moved()
  }

  /** This connection's side of its feeds. */
  #feedHost(): FeedHost {
    const { syncs, snapshots, stalledMs, databases } = this.#host
    const { signal } = this.#ended
    return {
      flow: this.#flow,
      logger: () => this.#limited,
      droppedAt: (name) => this.#host.source.droppedAt?.(name),
      takesOwners: () => this.hello?.owners === true,
      signal,
      database: (wanted) => databases().get(wanted),
      withheld: (name) => this.#host.source.withheld?.(name),
      sync: (log) => syncs.sync(log),
      send: (message, body) => this.#send(encodePrimaryMessage(message, ...(body === undefined ? [] : [body]))),
      sendFrames: (frames) => this.#send(frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames)),
      batches: (work) => this.#batches(work),
      snapshots: (database, newest, send) => this.#snapshots(() => snapshots.use(database, newest, signal, send)),
      stalledMs,
      bodies: (work) => this.#bodies(work),
      moved: () => {
        this.#sendCaughtUp()
        this.#host.moved()
      },
    }
  }

  /** I6: checked right before the bytes are written. */
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

  #credit(database: string, bytes: number): void {
    const full = this.#flow.full
    this.#flow.give(database, bytes)
    if (full) this.feeds.wake()
    else this.feeds.get(database)?.wake()
  }

  #sendCaughtUp(): void {
    if (this.#caughtUpSent || this.ended || !this.feeds.caughtUp) return
    this.#caughtUpSent = true
    const withholds = this.#host.source.withholds?.() === true
    this.#writer.writeNow(encodePrimaryMessage({ type: 'caught-up', ...(withholds && { withholds }) }))
  }

  #beat(): void {
    if (++this.#silentBeats > SILENT_BEATS) {
      this.#fail(new StreamLostError(`the replica was silent for ${SILENT_BEATS} heartbeats`))
      return
    }
    const stalledMs = this.#writer.beat() * HEARTBEAT_MS
    if (stalledMs >= this.#host.stalledMs) {
      this.#fail(new StreamLostError(`the replica has taken nothing for ${stalledMs / 1000} s`))
      return
    }
    if (this.hello === undefined || !this.#assertLeading() || this.#writer.blocked) return
    this.#writer.writeNow(encodePrimaryMessage({ type: 'heartbeat', sentAll: this.feeds.sentAll }))
  }

  #fail(error: unknown): void {
    if (this.ended) return
    this.#failed = true
    this.#logger.warn({ err: error }, 'the stream to the replica failed: closing it')
    const code = error instanceof StreamProtocolError ? error.code : 'STREAM_FAILED'
    this.end(code, errorMessage(error))
  }

  #lost(error: Error): void {
    if (this.ended) return
    this.#writer.end(error)
    this.#ended.abort(error)
    this.#flow.given.wake()
    this.feeds.wake()
    if (this.hello === undefined || this.#failed) return
    this.#logger.info({ reason: error.message }, 'replica disconnected')
  }
}
