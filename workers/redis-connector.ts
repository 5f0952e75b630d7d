import { createConnection, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { connect } from 'node:tls'
import { AbstractConnector, type RedisOptions } from 'ioredis'
import { ReplyScanner, UnreadableReplyError } from './reply-scanner.ts'

/**
 * Connects to one Redis, as ioredis does by itself, and shows ioredis only replies to what it has asked, each of a
 * bounded length. Its own parser collects whatever a server announces, and an answer to nothing ends the process.
 */
export class BoundedConnector extends AbstractConnector {
  readonly #options: RedisOptions

  constructor(options: unknown) {
    super((options as RedisOptions).disconnectTimeout ?? 0)
    this.#options = options as RedisOptions
  }

  // A connection that is closed at once is never opened.
  override async connect(): Promise<Socket> {
    this.connecting = true
    await new Promise<void>((resolve) => process.nextTick(resolve))
    if (!this.connecting) throw new Error('Connection is closed.')
    const { host, port, family, path, tls } = this.#options
    const place = path === undefined ? { host: host ?? 'localhost', port: port ?? 6379, family: family ?? 0 } : { path }
    // ioredis sets `true` for rediss://, against its own type.
    const socket = tls === undefined ? createConnection(place) : connect({ ...place, ...tls })
    const stream = new RepliesStream(socket, tls === undefined ? 'connect' : 'secureConnect') as unknown as Socket
    stream.once('error', (error) => (this.firstError = error))
    this.stream = stream
    return stream
  }
}

/** A socket, or of a socket what ioredis uses, that ends with an UnreadableReplyError. */
class RepliesStream extends Duplex {
  readonly #socket: Socket
  readonly #requests = new ReplyScanner({ bytes: Infinity, values: Infinity })
  readonly #replies = new ReplyScanner()

  constructor(socket: Socket, connected: 'connect' | 'secureConnect') {
    super()
    this.#socket = socket
    socket.once(connected, () => this.emit(connected))
    socket.on('data', (chunk) => this.#take(chunk))
    socket.once('end', () => this.push(null))
    socket.once('error', (error) => this.destroy(error))
    socket.once('close', () => this.destroy())
  }

  get connecting(): boolean {
    return this.#socket.connecting
  }

  setNoDelay(on: boolean): this {
    this.#socket.setNoDelay(on)
    return this
  }

  setKeepAlive(on: boolean, delayMs: number): this {
    this.#socket.setKeepAlive(on, delayMs)
    return this
  }

  setTimeout(timeoutMs: number, expired?: () => void): this {
    this.#socket.setTimeout(timeoutMs, expired)
    return this
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#requests.scan(chunk)
    this.#socket.write(chunk, done)
  }

  override _final(done: () => void): void {
    this.#socket.end(done)
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy()
    done(error)
  }

  #take(chunk: Buffer): void {
    if (this.destroyed) return
    try {
      this.#replies.scan(chunk)
      const { complete, between } = this.#replies
      if (complete + (between ? 0 : 1) > this.#requests.complete) throw new UnreadableReplyError('a reply to nothing')
    } catch (error) {
      this.destroy(error as Error)
      return
    }
    if (!this.push(chunk)) this.#socket.pause()
  }
}
