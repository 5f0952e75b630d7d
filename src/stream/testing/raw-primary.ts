import type { ServerResponse } from 'node:http'
import type { PrimaryMessage } from '../wire/messages.ts'
import { CONTENT_TYPE, encodePrimaryMessage, PROTOCOL_VERSION } from '../wire/messages.ts'
import { TestPrimary } from './primary.ts'

/** A primary that sends a hello, and then what a test tells it to. */
export class RawPrimary {
  readonly node: TestPrimary
  readonly #responses: ServerResponse[] = []
  /** How many connections came. */
  connections = 0

  constructor(directory: string) {
    this.node = new TestPrimary(directory)
  }

  /** Calls `connected` at each connection. */
  async listen(connected: () => void = () => undefined): Promise<void> {
    const { nodeId } = this.node
    await this.node.listen((incoming, response) => {
      incoming.resume()
      response.on('error', () => undefined)
      this.connections++
      this.#responses.push(response)
      response.writeHead(200, { 'content-type': CONTENT_TYPE })
      this.send({ type: 'hello', protocol: PROTOCOL_VERSION, nodeId, hostname: 'raw', term: 1n, clusterId: 'c' })
      connected()
    })
  }

  /** On the newest connection. */
  send(message: PrimaryMessage, ...body: readonly Uint8Array[]): void {
    this.#responses.at(-1)?.write(encodePrimaryMessage(message, ...body))
  }
}
