import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { CONTENT_TYPE, parsePrimaryMessage, type PrimaryMessage } from '../wire/messages.ts'
import { FrameParser } from '../wire/wire.ts'

/** A replica that sends what a test tells it to, and reads when a test tells it to. */
export class RawReplica {
  readonly request: ClientRequest
  response: IncomingMessage | undefined
  readonly messages: PrimaryMessage[] = []
  ended = false
  readonly #parser = new FrameParser()

  constructor(port: number) {
    this.request = request({
      port,
      host: '127.0.0.1',
      path: '/stream',
      method: 'POST',
      agent: false,
      headers: { 'content-type': CONTENT_TYPE },
    })
    this.request.on('error', () => (this.ended = true))
    this.request.on('response', (response) => {
      this.response = response
      response.on('error', () => (this.ended = true)).on('close', () => (this.ended = true))
    })
    this.request.on('close', () => (this.ended = true))
  }

  read(): this {
    const take = (response: IncomingMessage) =>
      response.statusCode === 200 &&
      response.on('data', (chunk: Buffer) => {
        for (const frame of this.#parser.push(chunk)) this.messages.push(parsePrimaryMessage(frame))
      })
    if (this.response !== undefined) take(this.response)
    else this.request.on('response', take)
    return this
  }

  get receivedBytes(): number {
    return this.request.socket?.bytesRead ?? 0
  }

  destroy(): void {
    this.request.destroy()
  }

  get types(): string[] {
    return this.messages.map(({ type }) => type)
  }
}
