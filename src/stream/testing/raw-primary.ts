import type { IncomingMessage, ServerResponse } from 'node:http'
import type { PrimaryMessage, ReplicaMessage } from '../wire/messages.ts'
import { CONTENT_TYPE, encodePrimaryMessage, parseReplicaMessage, PROTOCOL_VERSION } from '../wire/messages.ts'
import { FrameParser } from '../wire/wire.ts'
import { TestPrimary } from './primary.ts'

/** A primary that sends a hello, and then what a test tells it to. */
export class RawPrimary {
  readonly node: TestPrimary
  readonly #responses: ServerResponse[] = []
  readonly #requests: IncomingMessage[] = []
  /** The one that its hello says. */
  term = 1n
  /** From the next connection on, it is `node` that answers, if false. */
  isRaw = true
  /** Called with each message of the replica. */
  received: (message: ReplicaMessage) => void = () => undefined

  constructor(directory: string) {
    this.node = new TestPrimary(directory)
  }

  /** Calls `connected` at each connection. */
  async listen(connected: () => void = () => undefined): Promise<void> {
    const { nodeId } = this.node
    await this.node.listen((incoming, response) => {
      if (!this.isRaw) return this.node.server.handle(incoming, response)
      const parser = new FrameParser()
      incoming.on('data', (chunk: Buffer) => {
        for (const frame of parser.push(chunk)) this.received(parseReplicaMessage(frame))
      })
      response.on('error', () => undefined)
      this.#responses.push(response)
      this.#requests.push(incoming)
      response.writeHead(200, { 'content-type': CONTENT_TYPE })
      const { term } = this
      const clusterId = this.node.clusterId()
      this.send({ type: 'hello', protocol: PROTOCOL_VERSION, nodeId, hostname: 'raw', term, clusterId })
      connected()
    })
  }

  /** Ends the newest connection. */
  drop(): void {
    this.#responses.at(-1)?.destroy()
  }

  /** It reads nothing more of the newest connection. */
  pause(): void {
    this.#requests.at(-1)?.pause()
  }

  /** On the newest connection. */
  send(message: PrimaryMessage, ...body: readonly Uint8Array[]): void {
    this.#responses.at(-1)?.write(encodePrimaryMessage(message, ...body))
  }

  /** As `send`; calls `more` when there is room again. */
  sendMany(more: () => void, message: PrimaryMessage, ...body: readonly Uint8Array[]): void {
    const response = this.#responses.at(-1)
    if (response?.write(encodePrimaryMessage(message, ...body)) === true) setImmediate(more)
    else response?.once('drain', more)
  }
}
