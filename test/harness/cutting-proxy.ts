import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

export interface Cuts {
  /** Of so many connections at most. */
  readonly times: number
  /**
   * Once so many bytes of answers have gone through one; 0: before the first, so that a request was done and nobody
   * hears.
   */
  readonly afterBytes: number
  /** Exactly so many get through; otherwise the packet that goes beyond is lost whole. */
  readonly exact?: boolean
}

/** What is on its way from one client, and where it goes. */
interface Held {
  readonly bytes: Buffer[]
  readonly upstream: Socket
}

/** A bad network: passes connections on to a port of the loopback, cuts some of them, and holds back what is asked. */
export class CuttingProxy {
  readonly #server: Server
  readonly #target: number
  readonly #sockets = new Set<Socket>()
  #cuts: Cuts = { times: 0, afterBytes: 0 }
  #cutCount = 0
  /** Of what is held back; undefined while nothing is. */
  #holding: RegExp | undefined
  readonly #held = new Map<Socket, Held>()

  private constructor(target: number) {
    this.#target = target
    this.#server = createServer((client) => this.#pass(client, connect(target, '127.0.0.1')))
  }

  static async start(target: number): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(target)
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject).listen(0, '127.0.0.1', resolve)
    })
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** From now on. */
  set cuts(cuts: Cuts) {
    this.#cuts = cuts
    this.#cutCount = 0
  }

  get cutCount(): number {
    return this.#cutCount
  }

  /** Requests that match, and what follows them on their connections, stay on their way until `release`. */
  hold(requests = /^/): void {
    this.#holding = requests
  }

  /** Whether a matching request is held to its last byte: its client can end, and it still arrives whole. */
  holdsWhole(requests: RegExp): boolean {
    return [...this.#held.values()].some(({ bytes }) => {
      const request = Buffer.concat(bytes)
      return requests.test(request.toString('latin1')) && isWholeRequest(request)
    })
  }

  /** What is on its way arrives, although its client may have given up, and the server closed the connection. */
  release(): void {
    this.#holding = undefined
    for (const [client, { bytes, upstream }] of this.#held) {
      const way = upstream.destroyed ? this.#keep(connect(this.#target, '127.0.0.1')) : upstream
      for (const part of bytes) way.write(part)
      if (client.destroyed) way.end()
    }
    this.#held.clear()
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket)
    return socket.on('error', () => socket.destroy()).on('close', () => this.#sockets.delete(socket))
  }

  #pass(client: Socket, upstream: Socket): void {
    let answered = 0
    const end = () => {
      client.destroy()
      if (!this.#held.has(client)) upstream.destroy()
    }
    for (const socket of [client, upstream]) this.#keep(socket).on('close', end)
    client.on('data', (bytes: Buffer) => {
      const held = this.#held.get(client)
      if (held !== undefined) held.bytes.push(bytes)
      else if (this.#holding?.test(bytes.toString('latin1'))) this.#held.set(client, { bytes: [bytes], upstream })
      else upstream.write(bytes)
    })
    upstream.on('data', (chunk: Buffer) => {
      answered += chunk.length
      if (answered > this.#cuts.afterBytes && this.#cutCount < this.#cuts.times) {
        this.#cutCount++
        const rest = this.#cuts.afterBytes - (answered - chunk.length)
        if (this.#cuts.exact === true && rest > 0) client.end(chunk.subarray(0, rest), end)
        else end()
      } else {
        client.write(chunk)
      }
    })
  }
}

function isWholeRequest(bytes: Buffer): boolean {
  const head = bytes.indexOf('\r\n\r\n')
  const [, length = '0'] = /^content-length: *(\d+)/im.exec(bytes.toString('latin1', 0, Math.max(head, 0))) ?? []
  return head >= 0 && bytes.length >= head + 4 + Number(length)
}
