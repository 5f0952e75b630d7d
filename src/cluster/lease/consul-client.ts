/** The few requests to Consul that a lease needs, typed as they are used: the package's own types differ from what it takes and returns. */

import { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import Consul from 'consul'
import { z } from 'zod'
import { LeaseUnavailableError } from './errors.ts'

export interface ConsulItem {
  readonly value: Buffer
  /** Changes with every write to the key. */
  readonly modifyIndex: number
  readonly session: string | undefined
}

export interface ConsulReading {
  readonly item: ConsulItem | undefined
  /** To wait for what comes after it; '0' where Consul gave none. */
  readonly index: string
}

export type KvOperation =
  | { readonly Verb: 'check-index'; readonly Index: number }
  | { readonly Verb: 'check-not-exists' | 'delete' }
  | { readonly Verb: 'lock' | 'unlock'; readonly Value: string; readonly Session: string }
  | { readonly Verb: 'cas'; readonly Value: string; readonly Index: number }

/** Consul refuses session TTLs below 10 s. How long a lease lives is in its record. */
const SESSION_TTL = '10s'

/** As strings: the package drops the number 0, which gives 15 s. */
const LOCK_DELAY = '0s'

const itemSchema = z.object({
  ModifyIndex: z.int().positive(),
  Value: z.instanceof(Buffer).nullable(),
  Session: z.string().optional(),
})
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
  readonly #consul: Consul
  readonly #token: string | undefined

  /** `http://[:TOKEN@]HOST[:PORT]`. */
  constructor(url: string) {
    const { protocol, hostname, port, password } = new URL(url)
    this.name = `Consul at ${protocol}//${hostname}${port === '' ? '' : `:${port}`}`
    this.#token = password === '' ? undefined : decodeURIComponent(password)
    const secure = protocol === 'https:'
    this.#consul = new Consul({
      // The package hands it to `http.request` as it is, which wants an IPv6 address without brackets.
      host: hostname,
      port: port === '' ? (secure ? 443 : 80) : Number(port),
      secure,
    })
  }

  /** What is at `key` now, or with `index` as soon as it differs from then, or after `waitMs`. */
  async read(
    key: string,
    { index, waitMs, ...options }: RequestOptions & { index?: string; waitMs?: number },
  ): Promise<ConsulReading> {
    const blocking = index === undefined || index === '0' ? {} : { index, wait: `${waitMs ?? 0}ms` }
    const [response, item] = await this.#request(options, (common, context) =>
      this.#consul.kv.get({ key, consistent: true, buffer: true, ...blocking, ...common, ctx: context } as never),
    )
    const header = response.headers['x-consul-index']
    return {
      item: item === undefined ? undefined : this.#toItem(item),
      index: typeof header === 'string' && /^[0-9]{1,19}$/.test(header) ? header : '0',
    }
  }

  /** All operations on `key`, or none. The key's index after them; undefined when a check did not hold, or the session is none. */
  async transact(
    key: string,
    operations: readonly KvOperation[],
    options: RequestOptions,
  ): Promise<number | undefined> {
    const body = operations.map((operation) => ({ KV: { Key: key, ...operation } }))
    let result: unknown
    try {
      const answer = this.#request(options, (common, context) =>
        this.#consul.transaction.create(body as never, { ...common, ctx: context } as never),
      )
      result = (await answer)[1]
    } catch (error) {
      // 409: a check. 500 "invalid session": a lock with a session that has ended.
      const status = statusOf(error)
      if (status === 409 || (status === 500 && /session/i.test(bodyOf(error)))) return undefined
      throw error
    }
    const parsed = transactionSchema.safeParse(result)
    const last = parsed.data?.Results.at(-1)
    if (last === undefined) throw this.#unexpected('transaction')
    return last.KV.ModifyIndex
  }

  async createSession(name: string, options: RequestOptions): Promise<string> {
    const session = { name, behavior: 'release', ttl: SESSION_TTL, lockdelay: LOCK_DELAY }
    const [, result] = await this.#request(options, (common, context) =>
      this.#consul.session.create({ ...session, ...common, ctx: context } as never),
    )
    const parsed = sessionSchema.safeParse(result)
    if (!parsed.success) throw this.#unexpected('session')
    return parsed.data.ID
  }

  async renewSession(id: string, options: RequestOptions): Promise<void> {
    await this.#request(options, (common, context) =>
      this.#consul.session.renew({ id, ...common, ctx: context } as never),
    )
  }

  /** Also succeeds for a session that is none any more. */
  async destroySession(id: string, options: RequestOptions): Promise<void> {
    await this.#request(options, (common, context) =>
      this.#consul.session.destroy({ id, ...common, ctx: context } as never),
    )
  }

  close(): void {
    this.#consul.destroy()
  }

  async #request(
    { timeoutMs, signal }: RequestOptions,
    send: (common: object, context: EventEmitter) => Promise<unknown>,
  ): Promise<[response: IncomingMessage, result: unknown]> {
    // With `includeResponse` the package returns the response beside the result; 'cancel' aborts.
    const context = Object.assign(new EventEmitter(), { includeResponse: true })
    const cancel = () => context.emit('cancel')
    signal?.throwIfAborted()
    signal?.addEventListener('abort', cancel, { once: true })
    try {
      const token = this.#token === undefined ? {} : { token: this.#token }
      return (await send({ timeout: timeoutMs, ...token }, context)) as [IncomingMessage, unknown]
    } catch (cause) {
      if (signal?.aborted === true) throw signal.reason
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

  #unexpected(what: string): LeaseUnavailableError {
    return new LeaseUnavailableError(
      `${this.name} answered a request about a ${what} with something else: is it Consul?`,
    )
  }
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

function bodyOf(error: unknown): string {
  const body = ofPackage(error).response?.body
  if (typeof body === 'string') return body
  return Buffer.isBuffer(body) ? body.toString() : (JSON.stringify(body) ?? '')
}

function explain(error: unknown, timeoutMs: number): string {
  const { code, isTimeout } = ofPackage(error)
  if (isTimeout === true) return `did not answer within ${Math.round(timeoutMs)} ms`
  if (typeof code === 'string') return `cannot be reached (${code})`
  const status = statusOf(error)
  const what = bodyOf(error).trim()
  const excerpt = what === '' || what.length > 200 ? '' : `: ${what}`
  if (status === 401 || status === 403)
    return `refuses access (${status}${excerpt}): check the token in lease.consul.url`
  if (status !== undefined) return `answered ${status}${excerpt}`
  return `failed: ${error instanceof Error ? error.message : String(error)}`
}
