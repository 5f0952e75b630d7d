import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import type { Position } from '../../ltx/format/types.ts'
import { errorMessage } from '../../util/errors.ts'
import { connectionLost, StreamLostError, StreamProtocolError } from '../wire/errors.ts'
import { Flow, ITEM_COST_BYTES } from '../wire/flow.ts'
import { FrameWriter } from '../wire/frame-writer.ts'
import { FreeMessages } from '../wire/free-messages.ts'
import { rejectionOfPrimary } from '../wire/hello.ts'
import type { PrimaryHello, PrimaryMessage } from '../wire/messages.ts'
import {
  CONTENT_TYPE,
  encodeReplicaMessage,
  HEARTBEAT_MS,
  parsePrimaryMessage,
  positionMessages,
  PROTOCOL_VERSION,
} from '../wire/messages.ts'
import { readRejection } from '../wire/rejection.ts'
import { FrameParser } from '../wire/wire.ts'
import { Brought } from './brought.ts'
import { Histories } from './histories.ts'
import type { Lane } from './lane.ts'
import { Leaving } from './leaving.ts'
import { OpenLanes } from './open-lanes.ts'
import type { PrimaryStreamHost } from './primary-stream-host.ts'
import { Reports } from './reports.ts'

/** They take room in the windows. */
const PAID: ReadonlySet<PrimaryMessage['type']> = new Set(['owner', 'transaction', 'snapshot', 'chunk'])
const TICK_MS = HEARTBEAT_MS / 2
/**
 * A primary is lost after three heartbeats without a message. Counted in ticks, so that a process that was itself
 * suspended does not blame the primary.
 */
const SILENT_TICKS = 6

/** One connection to the primary, as its replica sees it. */
export class PrimaryStream {
  readonly #host: PrimaryStreamHost
  readonly #flow = new Flow()
  readonly #request: ClientRequest
  readonly #writer: FrameWriter
  readonly #ended: Promise<never>
  #end!: (error: Error) => void
  #over = false
  #hello: PrimaryHello | undefined
  #silentTicks = 0
  readonly #free: FreeMessages
  readonly #reports: Reports
  readonly #histories: Histories
  readonly #open = new OpenLanes()
  readonly #brought = new Brought()
  readonly #leaving = new Leaving()

  /** Throws StreamLostError for a URL that no request can be made to. */
  constructor(host: PrimaryStreamHost) {
    this.#host = host
    this.#free = new FreeMessages(host.maxNames)
    this.#ended = new Promise((_, reject) => {
      this.#end = (error) => {
        this.#over = true
        this.#leaving.answer(false)
        reject(error)
      }
    })
    this.#request = requestStream(host.url)
    this.#writer = new FrameWriter(this.#request)
    this.#reports = new Reports(this.#writer, () => this.connected)
    this.#histories = new Histories((database) => host.sink.history(database), this.#writer)
  }

  get connected(): boolean {
    return this.#hello !== undefined && !this.#over
  }

  /** Rejects with the reason when the connection has ended. */
  async run(): Promise<never> {
    const { sink } = this.#host
    const tick = setInterval(() => this.#tick(), TICK_MS)
    this.#request.on('error', (error) => this.#end(connectionLost(error)))
    this.#request.on('response', (response) => this.#respond(response))
    this.#request.on('drain', () => this.#reports.schedule())
    this.#request.setNoDelay(true)
    try {
      const { nodeId, hostname, url } = sink.self
      const clusterId = sink.clusterId()
      const hello = { protocol: PROTOCOL_VERSION, nodeId, hostname, url, term: this.#host.term() }
      const about = { ...(clusterId !== undefined && { clusterId }), ...(!sink.candidate && { candidate: false }) }
      this.#writer.writeNow(encodeReplicaMessage({ type: 'hello', ...hello, ...about, owners: true, nodes: true }))
      return await this.#ended
    } finally {
      clearInterval(tick)
      this.#writer.end()
      this.#request.destroy()
    }
  }

  close(reason: string): void {
    this.#end(new StreamLostError(reason))
  }

  /** This node stops. Resolves with whether the primary knows. One of an earlier version does not answer. */
  async leave(withinMs: number): Promise<boolean> {
    if (!this.connected) return false
    if (this.#hello?.leaves !== true) return true
    this.#writer.writeNow(encodeReplicaMessage({ type: 'alive', leaving: true }))
    return this.#leaving.answered(withinMs)
  }

  /** Applied up to here. */
  acknowledge(database: string, position: Position): void {
    if (!this.connected) return
    if (this.#brought.includes(database, position)) this.#host.applied()
    this.#reports.acknowledge(database, position)
  }

  /** Requests the restart that a lane wants. */
  restart(lane: Lane): void {
    if (!this.connected || lane.wanted === undefined) return
    const { number, position, reason } = lane.wanted
    const about = { database: lane.name, number, position: position ?? null, reason }
    this.#writer.writeNow(encodeReplicaMessage({ type: 'restart', ...about }))
  }

  #respond(response: IncomingMessage): void {
    response.on('error', (error) => this.#end(connectionLost(error)))
    if (response.statusCode !== 200 || response.headers['content-type'] !== CONTENT_TYPE) {
      readRejection(response).then(this.#end, this.#end)
      return
    }
    const parser = new FrameParser()
    response.on('data', (chunk: Buffer) => {
      this.#silentTicks = 0
      try {
        for (const frame of parser.push(chunk)) {
          if (this.#over) return
          this.#receive(parsePrimaryMessage(frame), frame.body)
        }
      } catch (error) {
        this.#end(error instanceof Error ? error : new Error(String(error)))
      }
    })
    response.on('close', () => this.#end(new StreamLostError('the primary closed the connection')))
  }

  #receive(message: PrimaryMessage, body: Uint8Array): void {
    if (message.type === 'hello') {
      this.#welcome(message)
      return
    }
    if (this.#hello === undefined && message.type !== 'end') {
      throw new StreamProtocolError(`"${message.type}" came before "hello"`)
    }
    if (!PAID.has(message.type)) this.#free.take()
    switch (message.type) {
      case 'nodes':
        this.#free.take(message.nodes.length)
        this.#host.sink.nodes(message.nodes)
        return
      case 'owner':
        this.#take(message.database, ITEM_COST_BYTES)
        this.#host.lane(message.database).owner(message.owner)
        return
      case 'transaction':
        this.#take(message.database, body.length + ITEM_COST_BYTES)
        this.#host.arrived(message.timestampMs)
        this.#open.begin(this.#host.lane(message.database), (lane) => lane.transaction(message, body))
        return
      case 'snapshot':
        this.#take(message.database, ITEM_COST_BYTES)
        this.#host.arrived(message.timestampMs)
        this.#open.begin(this.#host.lane(message.database), (lane) => lane.snapshot(message))
        this.#brought.snapshot(message.database, message.position)
        return
      case 'chunk':
        this.#take(message.database, body.length)
        this.#host.lane(message.database).chunk(body)
        return
      case 'abort':
        this.#host.existing(message.database)?.abort(message.reason)
        return
      case 'restarted':
        this.#host.existing(message.database)?.restarted(message.number)
        return
      case 'unknown':
        this.#unknown(message.database, message.dropped)
        return
      case 'history-wanted':
        void this.#sendHistory(message.database)
        return
      case 'caught-up':
        this.#host.caughtUp(message.withholds === true)
        return
      case 'heartbeat':
        if (message.leaving === true) this.#leaving.answer(true)
        this.#host.alive(message.sentAll === true)
        return
      case 'end':
        this.#end(new StreamLostError(`the primary ended the stream: ${message.reason}`))
        return
    }
  }

  /** A database that this node does not have either needs no lane, unless the name has a history. */
  #unknown(database: string, dropped: Position | undefined): void {
    const lane = this.#host.existing(database)
    if (lane !== undefined) lane.unknown(dropped)
    else if (dropped !== undefined || this.#host.sink.has(database)) this.#host.lane(database).unknown(dropped)
  }

  #welcome(hello: PrimaryHello): void {
    if (this.#hello !== undefined) throw new StreamProtocolError('"hello" came twice')
    const { sink } = this.#host
    const self = { nodeId: sink.self.nodeId, clusterId: sink.clusterId(), term: this.#host.term() }
    const rejection = rejectionOfPrimary(hello, self)
    if (rejection !== undefined) throw rejection
    if (self.clusterId === undefined) sink.adoptCluster(hello.clusterId)
    this.#hello = hello
    this.#host.connected(hello)
    this.#sendPositions()
    for (const lane of this.#host.lanes()) {
      lane.attach((database, bytes) => this.#consume(database, bytes))
      this.restart(lane)
    }
  }

  /** For lanes that were made after the connection. */
  attach(lane: Lane): void {
    lane.attach((database, bytes) => this.#consume(database, bytes))
  }

  #sendPositions(): void {
    const applied = this.#host.sink.positions()
    const all = new Map(applied)
    for (const lane of this.#host.lanes()) {
      const position = lane.position(applied.get(lane.name))
      if (position === undefined) all.delete(lane.name)
      else all.set(lane.name, position)
    }
    this.#brought.begin(all)
    for (const positions of positionMessages(all)) {
      this.#writer.writeNow(encodeReplicaMessage({ type: 'positions', positions, complete: false }))
    }
    this.#writer.writeNow(encodeReplicaMessage({ type: 'positions', positions: [], complete: true }))
  }

  async #sendHistory(database: string): Promise<void> {
    try {
      await this.#histories.send(database)
    } catch (error) {
      this.#end(new StreamLostError(`the history of ${database} cannot be sent: ${errorMessage(error)}`))
    }
  }

  /** I10: disconnects from a primary that exceeds the windows. */
  #take(database: string, bytes: number): void {
    this.#flow.take(database, bytes)
    this.#flow.assertWithin(database)
  }

  #consume(database: string, bytes: number): void {
    if (this.#over) return
    this.#flow.give(database, bytes)
    this.#reports.consumed(database, bytes, this.#flow.bytesOf(database) === 0)
  }

  #tick(): void {
    if (++this.#silentTicks > SILENT_TICKS) {
      const silenceMs = SILENT_TICKS * TICK_MS
      this.#end(new StreamLostError(`the primary was silent for ${silenceMs / 1000} s`))
      return
    }
    if (this.connected && !this.#writer.blocked) this.#writer.writeNow(encodeReplicaMessage({ type: 'alive' }))
  }
}

function requestStream(url: string): ClientRequest {
  const headers = { 'content-type': CONTENT_TYPE, connection: 'close' }
  try {
    return request(`${url.replace(/\/+$/, '')}/stream`, { method: 'POST', agent: false, headers })
  } catch (error) {
    throw connectionLost(error instanceof Error ? error : new Error(String(error)))
  }
}
