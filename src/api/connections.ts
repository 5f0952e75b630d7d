import { readFileSync } from 'node:fs'
import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The connection of a request is one that lasts, and whose number the handler limits. */
    readonly lasting?: boolean
  }
}

const MAX_CONNECTIONS = 512
/** Of what the process may open. The rest is for databases. */
const SHARE = 4

/**
 * The connections to the API (I10). Whoever reaches the port can open any number of them, and each takes a descriptor
 * from the databases. One too many closes the oldest, so that those who say nothing keep nobody out.
 */
export class Connections {
  readonly #max: number
  /** The oldest first. */
  readonly #open = new Set<Socket>()

  constructor(server: Server, max = Connections.limit(readLimits())) {
    this.#max = max
    server.on('connection', (socket) => this.#add(socket))
  }

  /** `limits`: of the process, as /proc shows them. */
  static limit(limits: string): number {
    const files = Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Infinity)
    return Math.min(MAX_CONNECTIONS, Math.floor(files / SHARE))
  }

  /** Until the answer has ended, the connection is not closed for others. */
  exempt(socket: Socket, answer: ServerResponse): void {
    this.#open.delete(socket)
    answer.once('close', () => {
      if (!socket.destroyed) this.#open.add(socket)
    })
  }

  #add(socket: Socket): void {
    const [oldest] = this.#open
    if (this.#open.size >= this.#max && oldest !== undefined) {
      this.#open.delete(oldest)
      oldest.destroy()
    }
    this.#open.add(socket)
    socket.once('close', () => this.#open.delete(socket))
  }
}

function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8')
  } catch {
    return ''
  }
}
