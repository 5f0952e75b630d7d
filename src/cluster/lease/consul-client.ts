/** The few requests to Consul that a lease needs. */

import { EventEmitter } from 'node:events'
import type { ClientRequest, IncomingMessage } from 'node:http'
import Consul from 'consul'
import { z } from 'zod'
import { rememberSecret, withoutSecrets } from '../../util/sent-secrets.ts'
import { shorten } from '../../util/shorten.ts'
import { LeaseUnavailableError } from './errors.ts'

export interface ConsulItem {
  readonly value: Buffer
  /** Different after every write to the key. */
  readonly modifyIndex: number
  readonly session: string | undefined
}

interface NamedValue {
  readonly key: string
  readonly value: Buffer
}

export interface ConsulReading {
  readonly item: ConsulItem | undefined
  /** Pass it to the next read to wait for a change; '0' when Consul returned none. */
  readonly index: string
}

export type KvOperation =
  | { readonly Verb: 'check-index'; readonly Key?: string; readonly Index: number }
  | { readonly Verb: 'check-not-exists' | 'delete' | 'delete-tree'; readonly Key?: string }
  | { readonly Verb: 'lock' | 'unlock'; readonly Value: string; readonly Session: string }
  | { readonly Verb: 'set'; readonly Value: string }
  | { readonly Verb: 'cas'; readonly Key?: string; readonly Value: string; readonly Index: number }

/** Consul rejects session TTLs below 10 s. The TTL of the lease itself is in its record. */
const SESSION_TTL = '10s'

/** A string, because the package drops the number 0, and Consul's default is 15 s. */
const LOCK_DELAY = '0s'

/** Options of every request, in the package's terms. `ctx` aborts it. */
type Common = { readonly timeout: number; readonly token?: string; readonly ctx: EventEmitter }

/**
 * The methods of the package that this client calls, with the parameters that they really take: the types of consul
 * 2.0.1 lack `ctx`, `buffer`, `wait` as a string, and transactions as they are sent. With `includeResponse` in `ctx`,
 * each resolves with the response and its parsed body.
 */
interface ConsulApi {
  readonly kv: {
    get(
      options: Common & { key: string; consistent: true; buffer: true; index?: string; wait?: string; recurse?: true },
    ): Reply
  }
  readonly transaction: { create(operations: readonly { KV: { Key: string } & KvOperation }[], options: Common): Reply }
  readonly session: {
    create(options: Common & { name: string; behavior: 'release'; ttl: string; lockdelay: string }): Reply
    renew(options: Common & { id: string }): Reply
    destroy(options: Common & { id: string }): Reply
  }
  destroy(): void
  /** Of papi, on which the package builds: called for each request before it is sent. */
  _ext(event: 'onRequest', callback: (request: PackageRequest, next: () => void) => void): void
}

interface PackageRequest {
  transport: { request(options: unknown): ClientRequest }
}

type Reply = Promise<[response: IncomingMessage, result: unknown]>

const itemSchema = z.object({
  ModifyIndex: z.int().positive(),
  Value: z.instanceof(Buffer).nullable(),
  Session: z.string().optional(),
})
/** The package collects whatever is answered (I10). Consul's values have 512 KiB at most. */
const MAX_ANSWER_BYTES = 16 << 20
/** More nodes than a cluster has. */
const MAX_LISTED = 1_000
const transactionSchema = z.object({
  Results: z.array(z.object({ KV: z.object({ ModifyIndex: z.int().positive() }) })).min(1),
})
const sessionSchema = z.object({ ID: z.string().min(1).max(100) })

export interface RequestOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

export class ConsulClient {
  /** For messages, without the token. */
  readonly name: string
  readonly #consul: ConsulApi
  readonly #token: string | undefined

  /** `http://[:TOKEN@]HOST[:PORT]`. */
  constructor(url: string) {
    const { protocol, hostname, port, password } = new URL(url)
    this.name = `Consul at ${protocol}//${hostname}${port === '' ? '' : `:${port}`}`
    this.#token = password === '' ? undefined : decodeURIComponent(password)
    rememberSecret(this.#token)
    const secure = protocol === 'https:'
    // The package passes the host to `http.request`.
    const consul = new Consul({ host: hostname, port: port === '' ? (secure ? 443 : 80) : Number(port), secure })
    this.#consul = consul as unknown as ConsulApi
    this.#consul._ext('onRequest', (request, next) => {
      const { transport } = request
      request.transport = { request: (options) => boundAnswer(transport.request(options)) }
      next()
    })
  }

  /** Reads `key`. With `index`, waits until the key has changed since that index, at most for `waitMs`. */
  async read(
    key: string,
    { index, waitMs, ...options }: RequestOptions & { index?: string; waitMs?: number },
  ): Promise<ConsulReading> {
    const blocking = index === undefined || index === '0' ? {} : { index, wait: `${waitMs ?? 0}ms` }
    const [response, item] = await this.#request(options, (common) =>
      this.#consul.kv.get({ key, consistent: true, buffer: true, ...blocking, ...common }),
    )
    const header = response.headers['x-consul-index']
    return {
      item: item === undefined ? undefined : this.#toItem(item),
      index: typeof header === 'string' && /^[0-9]{1,19}$/.test(header) ? header : '0',
    }
  }

  /**
   * Performs all operations, at most 64, on `key` unless they name another, or none. The last one writes `key`.
   * Resolves with its new index, or with undefined when a check failed or the session has ended.
   */
  async transact(
    key: string,
    operations: readonly KvOperation[],
    options: RequestOptions,
  ): Promise<number | undefined> {
    const body = operations.map((operation) => ({ KV: { Key: key, ...operation } }))
    let result: unknown
    try {
      const answer = await this.#request(options, (common) => this.#consul.transaction.create(body, common))
      result = answer[1]
    } catch (error) {
      // 409: a check failed, or the token has not all rights. 500 "invalid session": a lock with one that has ended.
      const status = statusOf(error)
      if ((status === 409 && !isDenied(error)) || (status === 500 && /session/i.test(bodyOf(error)))) return undefined
      throw error
    }
    const parsed = transactionSchema.safeParse(result)
    const last = parsed.data?.Results.at(-1)
    if (last === undefined) throw this.#unexpected('transaction')
    return last.KV.ModifyIndex
  }

  /** The values of all keys that begin so. */
  async list(prefix: string, options: RequestOptions): Promise<readonly NamedValue[]> {
    const [, items] = await this.#request(options, (common) =>
      this.#consul.kv.get({ key: prefix, recurse: true, consistent: true, buffer: true, ...common }),
    )
    const parsed = z
      .array(itemSchema.extend({ Key: z.string() }))
      .max(MAX_LISTED)
      .safeParse(items ?? [])
    if (!parsed.success) throw this.#unexpected('list of keys')
    return parsed.data.flatMap(({ Key, Value }) => (Value === null ? [] : [{ key: Key, value: Value }]))
  }

  async createSession(name: string, options: RequestOptions): Promise<string> {
    const session = { name, behavior: 'release', ttl: SESSION_TTL, lockdelay: LOCK_DELAY } as const
    const [, result] = await this.#request(options, (common) => this.#consul.session.create({ ...session, ...common }))
    const parsed = sessionSchema.safeParse(result)
    if (!parsed.success) throw this.#unexpected('session')
    return parsed.data.ID
  }

  async renewSession(id: string, options: RequestOptions): Promise<void> {
    await this.#request(options, (common) => this.#consul.session.renew({ id, ...common }))
  }

  /** Also succeeds for a session that has ended. */
  async destroySession(id: string, options: RequestOptions): Promise<void> {
    await this.#request(options, (common) => this.#consul.session.destroy({ id, ...common }))
  }

  close(): void {
    this.#consul.destroy()
  }

  async #request({ timeoutMs, signal }: RequestOptions, send: (common: Common) => Reply): Reply {
    const ctx = Object.assign(new EventEmitter(), { includeResponse: true })
    const cancel = () => ctx.emit('cancel')
    signal?.throwIfAborted()
    signal?.addEventListener('abort', cancel, { once: true })
    try {
      const token = this.#token === undefined ? {} : { token: this.#token }
      return await send({ timeout: timeoutMs, ...token, ctx })
    } catch (cause) {
      if (signal?.aborted === true) throw signal.reason
      // Its message, which loggers print, may be the server's text.
      if (cause instanceof Error) cause.message = shorten(withoutSecrets(cause.message))
      throw new LeaseUnavailableError(`${this.name} ${explain(cause, timeoutMs)}`, { cause })
    } finally {
      signal?.removeEventListener('abort', cancel)
    }
  }

  #toItem(item: unknown): ConsulItem {
    const parsed = itemSchema.safeParse(item)
    if (!parsed.success) throw this.#unexpected('key')
    const { ModifyIndex, Value, Session } = parsed.data
    return { value: Value ?? Buffer.alloc(0), modifyIndex: ModifyIndex, session: Session }
  }

  #unexpected(expected: string): LeaseUnavailableError {
    return new LeaseUnavailableError(
      `${this.name} gave an unexpected answer, expected a ${expected}: check that lease.consul.url names a Consul`,
    )
  }
}

class LongAnswerError extends Error {
  constructor() {
    super(`answered with more than ${MAX_ANSWER_BYTES >> 20} MiB`)
  }
}

/** Ends the request when its answer is longer than any of Consul's. */
function boundAnswer(request: ClientRequest): ClientRequest {
  request.once('response', (response: IncomingMessage) => {
    let left = MAX_ANSWER_BYTES
    response.on('data', (chunk: Buffer) => {
      left -= chunk.length
      if (left >= 0 || request.destroyed) return
      request.destroy()
      request.emit('error', new LongAnswerError())
    })
  })
  return request
}

interface PackageError {
  readonly code?: unknown
  readonly isTimeout?: unknown
  readonly response?: { readonly statusCode?: unknown; readonly body?: unknown }
}

const ofPackage = (error: unknown) => (error instanceof LeaseUnavailableError ? error.cause : error) as PackageError

function statusOf(error: unknown): number | undefined {
  const status = ofPackage(error).response?.statusCode
  return typeof status === 'number' ? status : undefined
}

/** The token lacks a right. To a transaction Consul answers so with the status of a failed check. */
export function isDenied(error: unknown): boolean {
  const status = statusOf(error)
  if (status === 401 || status === 403) return true
  return status !== undefined && /permission denied/i.test(bodyOf(error))
}

function bodyOf(error: unknown): string {
  const body = ofPackage(error).response?.body
  if (typeof body === 'string') return body
  return Buffer.isBuffer(body) ? body.toString() : (JSON.stringify(body) ?? '')
}

function explain(error: unknown, timeoutMs: number): string {
  if (error instanceof LongAnswerError) return error.message
  const { code, isTimeout } = ofPackage(error)
  if (isTimeout === true) return `did not answer within ${Math.round(timeoutMs)} ms`
  if (typeof code === 'string') return `cannot be reached (${code})`
  const status = statusOf(error)
  const body = withoutSecrets(bodyOf(error)).trim()
  const excerpt = body === '' || body.length > 200 ? '' : `: ${shorten(body)}`
  if (isDenied(error)) {
    return `denies access (${status}${excerpt}): check the token in lease.consul.url`
  }
  if (status !== undefined) return `answered ${status}${excerpt}`
  return `failed: ${error instanceof Error ? error.message : String(error)}`
}
