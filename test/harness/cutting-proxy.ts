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

/** A bad network: passes connections on to a port of the loopback, cuts some of them, and holds back what is asked. */
export class CuttingProxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #cuts: Cuts = { times: 0, afterBytes: 0 }
  #cutCount = 0
  #isHolding = false
  #held: { readonly bytes: Buffer; readonly upstream: Socket }[] = []

  private constructor(target: number) {
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

  /** Requests stay on their way until `release`. */
  hold(): void {
    this.#isHolding = true
  }

  /** What is on its way, as text. */
  get held(): string {
    return Buffer.concat(this.#held.map(({ bytes }) => bytes)).toString('latin1')
  }

  release(): void {
    this.#isHolding = false
    for (const { bytes, upstream } of this.#held) upstream.write(bytes)
    this.#held = []
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #pass(client: Socket, upstream: Socket): void {
    let answered = 0
    const end = () => {
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) {
      this.#sockets.add(socket)
      socket.on('error', end).on('close', () => {
        this.#sockets.delete(socket)
        end()
      })
    }
    client.on('data', (bytes: Buffer) => {
      if (this.#isHolding) this.#held.push({ bytes, upstream })
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
