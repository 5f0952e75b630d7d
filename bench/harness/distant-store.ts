import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

const REQUEST = /^(?:GET|HEAD|PUT|POST|DELETE) /

/** A way to an S3 server on the loopback that takes as long as one to another place. It counts requests. */
export class DistantStore {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  requests = 0

  private constructor(port: number, delayMs: number) {
    this.#server = createServer((client) => {
      const upstream = connect(port, '127.0.0.1')
      for (const [socket, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        this.#sockets.add(socket)
        socket.on('error', () => socket.destroy())
        socket.on('close', () => {
          this.#sockets.delete(socket)
          other.destroy()
        })
      }
      client.on('data', (bytes: Buffer) => {
        if (REQUEST.test(bytes.toString('latin1', 0, 8))) this.requests++
        setTimeout(() => upstream.write(bytes), delayMs)
      })
      upstream.on('data', (bytes: Buffer) => client.write(bytes))
    })
  }

  static async start(port: number, delayMs: number): Promise<DistantStore> {
    const store = new DistantStore(port, delayMs)
    await new Promise<void>((resolve, reject) => {
      store.#server.once('error', reject).listen(0, '127.0.0.1', resolve)
    })
    return store
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }
}
