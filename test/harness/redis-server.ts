import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { findTool } from '../../infra/test-tools.ts'
import { freePort } from './s3-server.ts'
import { until, within } from './wait.ts'

/** A real Redis for one test, on a free port of the loopback and in a directory of its own. */
export class RedisServer {
  readonly port: number
  readonly dir: string
  readonly #options: readonly string[]
  #child: ChildProcess | undefined
  #exited: Promise<void> = Promise.resolve()

  private constructor(port: number, dir: string, options: readonly string[]) {
    this.port = port
    this.dir = dir
    this.#options = options
  }

  /** Resolves once it answers. `options` are more arguments for redis-server. */
  static async start(...options: string[]): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), await mkdtemp(join(tmpdir(), 'ltxd-redis-')), options)
    await server.run()
    return server
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Of `--requirepass`. */
  get #password(): { password?: string } {
    const password = this.#options[this.#options.indexOf('--requirepass') + 1]
    return password === undefined || !this.#options.includes('--requirepass') ? {} : { password }
  }

  /** Starts it, or starts it again on the same port with its durable data. */
  async run(): Promise<void> {
    const binary = findTool('redis-server')
    if (binary === undefined) throw new Error('redis-server is not installed: bash infra/setup.sh --test-tools')
    const place = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.dir]
    const kept = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'no']
    const log = openSync(join(this.dir, 'log'), 'a')
    const child = spawn(binary, [...place, ...kept, '--maxmemory-policy', 'noeviction', ...this.#options], {
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    this.#child = child
    this.#exited = new Promise((resolve) => child.once('exit', () => resolve()))
    try {
      await until('answer of Redis', 60_000, () => this.#answers(), 50)
    } catch (error) {
      await this.end()
      throw new Error(readFileSync(join(this.dir, 'log'), 'utf8').slice(-1000), { cause: error })
    }
  }

  /** Ends the server. Its data stays for `run`. */
  async end(): Promise<void> {
    this.#child?.kill('SIGTERM')
    await within('end of Redis', 60_000, this.#exited)
  }

  async stop(): Promise<void> {
    await this.end()
    await rm(this.dir, { recursive: true, force: true })
  }

  client(): Redis {
    return new Redis(this.url, { ...this.#password, maxRetriesPerRequest: null })
  }

  async #answers(): Promise<boolean> {
    if (this.#child?.exitCode !== null) throw new Error('Redis has ended')
    const client = new Redis(this.url, { ...this.#password, lazyConnect: true, retryStrategy: () => null })
    client.on('error', () => undefined)
    try {
      await client.connect()
      return (await client.ping()) === 'PONG'
    } catch {
      return false
    } finally {
      client.disconnect()
    }
  }
}
