import { Redis, ReplyError } from 'ioredis'
import { ClockSkewError } from '../src/backup/history/errors.ts'
import { MAX_SKEW_MS } from '../src/backup/history/store-clock.ts'
import { errorCode, errorMessage, LtxdError } from '../src/util/errors.ts'
import type { Logger } from '../src/util/log.ts'
import { redactUrl } from '../src/util/redact.ts'
import { rememberSecret, withoutSecrets } from '../src/util/sent-secrets.ts'
import { shorten } from '../src/util/shorten.ts'
import { BoundedConnector } from './redis-connector.ts'
import { UnreadableReplyError } from './reply-scanner.ts'

/** Redis answers but cannot be used. Retrying does not help. */
export class RedisRefusedError extends LtxdError {
  constructor(url: string, problem: string) {
    super('REDIS_REFUSED', `the Redis at ${url} cannot be used: ${problem}`)
  }
}

/** Redis 6.2, the oldest version that BullMQ recommends. */
const MINIMUM_VERSION = [6, 2] as const
const REFUSALS = /^(NOAUTH|WRONGPASS|NOPERM|ERR invalid password|ERR Client sent AUTH|ERR DB index)/
const MAX_PAUSE_MS = 5000
/** What messages repeat of a server's text. */
const MAX_TEXT = 500

/**
 * A connection that reconnects by itself, and logs once when Redis becomes unreachable and once when it returns.
 * `failed` takes the errors of BullMQ's own connections, which repeat the same failures.
 */
export class RedisLink {
  readonly client: Redis
  readonly url: string
  readonly #logger: Logger
  readonly #unreadable: () => void
  #reason: string | undefined
  #closed = false
  readonly #refused: Promise<never>
  #refuse: (error: RedisRefusedError) => void = () => undefined

  /** `unreadable` is called when a reply was too long, or none. */
  constructor(url: string, logger: Logger, unreadable: () => void = () => undefined) {
    this.url = redactUrl(url)
    this.#unreadable = unreadable
    this.#logger = logger
    this.#refused = new Promise((_, reject) => (this.#refuse = reject))
    this.#refused.catch(() => undefined)
    this.client = new Redis(url, {
      connectionName: 'ltxd',
      Connector: BoundedConnector,
      // The only one that BoundedConnector reads.
      protocol: 2,
      // BullMQ waits for Redis instead of failing its commands.
      maxRetriesPerRequest: null,
      retryStrategy: (times) => Math.min(MAX_PAUSE_MS, 100 * 2 ** Math.min(times, 10)),
    })
    rememberSecret(this.client.options.password ?? undefined)
    this.client.on('error', (error) => this.failed(error))
    // A server may close connections without an error.
    this.client.on('close', () => this.#closed || this.failed(new Error('the connection was closed')))
    this.client.on('ready', () => this.#back())
  }

  /** Waits for Redis. Throws RedisRefusedError when Redis would lose jobs, or rejects the credentials. */
  async open(): Promise<void> {
    const info = await Promise.race([this.#info(), this.#refused])
    const warning = checkRedis(this.url, info)
    if (warning !== undefined) this.#logger.warn({ url: this.url }, warning)
  }

  /** Where the connection is rejected, the command fails too, with the same error and perhaps before the event. */
  async #info(): Promise<string> {
    try {
      return await this.client.info()
    } catch (error) {
      const message = textOf(error)
      throw isUnreadable(error) || REFUSALS.test(message) || isAnswer(error)
        ? new RedisRefusedError(this.url, message)
        : error
    }
  }

  /** Throws ClockSkewError where Redis has another time than `nowMs`: then jobs are not due, or too early. */
  async assertClock(nowMs: number): Promise<void> {
    const [seconds] = await this.client.time()
    const theirMs = Number(seconds) * 1000
    if (Math.abs(theirMs - nowMs) > MAX_SKEW_MS) throw new ClockSkewError(this.url, nowMs, theirMs)
  }

  failed(error: unknown): void {
    const message = textOf(error) || (errorCode(error) ?? 'no connection')
    if (isUnreadable(error)) this.#unreadable()
    if (isUnreadable(error) || REFUSALS.test(message)) this.#refuse(new RedisRefusedError(this.url, message))
    const reason = errorCode(error) ?? message
    if (this.#reason === reason || (this.#reason !== undefined && this.client.status !== 'ready')) return
    this.#reason = reason
    this.#logger.error({ url: this.url, reason: message }, 'Redis cannot be reached, or fails; it is retried')
  }

  close(): void {
    this.#closed = true
    this.client.disconnect()
  }

  #back(): void {
    if (this.#reason !== undefined) this.#logger.info({ url: this.url }, 'Redis is back')
    this.#reason = undefined
  }
}

/** An error that Redis answered with. */
function isAnswer(error: unknown): boolean {
  return error instanceof ReplyError
}

/** A server's text, of any length, may repeat what it was sent. */
function textOf(error: unknown): string {
  return shorten(withoutSecrets(errorMessage(error)), MAX_TEXT)
}

function isUnreadable(error: unknown): boolean {
  return error instanceof UnreadableReplyError
}

/** Compares Redis's INFO with what the queues need. Returns a warning; throws RedisRefusedError. */
export function checkRedis(url: string, info: string): string | undefined {
  const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1]
  const version = field('redis_version') ?? ''
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [wantedMajor, wantedMinor] = MINIMUM_VERSION
  if (version !== '' && (major < wantedMajor || (major === wantedMajor && minor < wantedMinor))) {
    throw new RedisRefusedError(
      url,
      `it is version ${shorten(version)}; expected ${MINIMUM_VERSION.join('.')} or later`,
    )
  }
  const policy = field('maxmemory_policy')
  if (policy === 'noeviction') return undefined
  const advice = 'set maxmemory-policy noeviction'
  if (policy === undefined) return `Redis does not report its maxmemory-policy: ${advice}, or it may evict jobs`
  if (field('maxmemory') === '0')
    return `maxmemory-policy is ${shorten(policy)}: harmless without a maxmemory, but ${advice}`
  throw new RedisRefusedError(
    url,
    `with maxmemory-policy ${shorten(policy)} it evicts jobs when memory runs short: ${advice}`,
  )
}
