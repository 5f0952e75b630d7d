import { createServer, type IncomingMessage, request as send, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { kindOf, NO_REQUESTS, type RequestKind, type Requests } from './requests.ts'

export interface Traffic {
  readonly requests: Requests
  /** Bodies alone. */
  readonly upBytes: number
  readonly downBytes: number
}

/** On the way to an S3 server on the loopback: counts requests, and the bytes of their bodies. */
export class CountingProxy {
  readonly #server: Server
  readonly #target: number
  #requests: Record<RequestKind, number> = { ...NO_REQUESTS }
  #upBytes = 0
  #downBytes = 0

  private constructor(target: number) {
    this.#target = target
    this.#server = createServer((request, response) => this.#pass(request, response))
  }

  static async start(target: number): Promise<CountingProxy> {
    const proxy = new CountingProxy(target)
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject).listen(0, '127.0.0.1', resolve)
    })
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Since the start, or the last call. */
  take(): Traffic {
    const traffic = { requests: this.#requests, upBytes: this.#upBytes, downBytes: this.#downBytes }
    this.#requests = { ...NO_REQUESTS }
    this.#upBytes = 0
    this.#downBytes = 0
    return traffic
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeAllConnections()
    await closed
  }

  #pass(request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url = '', headers } = request
    this.#requests[kindOf(method, url)]++
    request.on('data', (chunk: Buffer) => (this.#upBytes += chunk.length))
    const onward = send({ host: '127.0.0.1', port: this.#target, method, path: url, headers }, (answered) => {
      answered.on('data', (chunk: Buffer) => (this.#downBytes += chunk.length))
      response.writeHead(answered.statusCode ?? 500, answered.headers)
      answered.pipe(response)
    })
    onward.on('error', () => response.destroy())
    response.on('close', () => onward.destroy())
    request.pipe(onward)
  }
}
