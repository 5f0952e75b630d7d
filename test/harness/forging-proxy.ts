import { createServer, type IncomingMessage, request as send, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type S3Operation = 'List' | 'Get' | 'Head' | 'Put' | 'Delete' | 'CreateUpload' | 'Part' | 'Complete' | 'Abort'

export interface S3Request {
  readonly operation: S3Operation
  /** With the bucket and the query. */
  readonly url: string
}

/** An answer that the store never gave. */
export interface Forged {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** A login page, as a captive portal or a server at a wrong address sends it, with all that a file server adds. */
export const LOGIN_PAGE: Forged = {
  status: 200,
  headers: {
    'content-type': 'text/html; charset=utf-8',
    etag: '"65f2c1a0-2f"',
    'last-modified': 'Mon, 02 Mar 2026 00:00:00 GMT',
  },
  body: '<html><body>Log in to the network</body></html>',
}

/** Between a node and an S3 server on the loopback: answers requests in the server's place. */
export class ForgingProxy {
  readonly #server: Server
  readonly #target: number
  /** Returns the answer to a request, or undefined to pass it on. */
  forge: (request: S3Request) => Forged | undefined = () => undefined
  /** Whether the server gets the request although its answer is forged. */
  passesOn = false

  private constructor(target: number) {
    this.#target = target
    this.#server = createServer((request, response) => this.#handle(request, response))
  }

  static async start(target: number): Promise<ForgingProxy> {
    const proxy = new ForgingProxy(target)
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject).listen(0, '127.0.0.1', resolve)
    })
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeAllConnections()
    await closed
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const url = request.url ?? ''
    const forged = this.forge({ operation: operationOf(request.method ?? '', url), url })
    if (forged === undefined || this.passesOn) this.#pass(request, response, forged)
    else request.resume().once('end', () => answer(response, forged))
  }

  #pass(request: IncomingMessage, response: ServerResponse, forged: Forged | undefined): void {
    const { method, url: path, headers } = request
    const onward = send({ host: '127.0.0.1', port: this.#target, method, path, headers }, (answered) => {
      if (forged !== undefined) {
        answered.resume()
        return answer(response, forged)
      }
      response.writeHead(answered.statusCode ?? 500, answered.headers)
      answered.pipe(response)
    })
    onward.on('error', () => response.destroy())
    response.on('close', () => onward.destroy())
    request.pipe(onward)
  }
}

function answer(response: ServerResponse, { status, headers = {}, body = '' }: Forged): void {
  response.writeHead(status, { 'content-length': String(Buffer.byteLength(body)), ...headers })
  response.end(body)
}

function operationOf(method: string, url: string): S3Operation {
  const query = new URLSearchParams(url.split('?')[1])
  if (query.has('list-type')) return 'List'
  if (method === 'POST') return query.has('delete') ? 'Delete' : query.has('uploads') ? 'CreateUpload' : 'Complete'
  if (method === 'PUT') return query.has('partNumber') ? 'Part' : 'Put'
  if (method === 'DELETE') return query.has('uploadId') ? 'Abort' : 'Delete'
  return method === 'HEAD' ? 'Head' : 'Get'
}
