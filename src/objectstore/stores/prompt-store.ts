import { LIMITS } from '../../config/limits.ts'
import { unlessAborted } from '../../util/waits.ts'
import { StoreUnavailableError } from '../errors.ts'
import type { ByteRange, ObjectHead, ObjectInfo, ObjectStore, PutOptions } from '../objectstore.ts'

/** How long a request with a body may take: as large as one gets, over a slow line. */
const PUT_TIMEOUT_MS = 60_000

/**
 * A store that answers in time, or fails. A store that hangs must not stop a node from starting or from releasing its
 * lease. Every call also ends with the signal of this store, as with that of the call, and its request with it.
 */
export class PromptStore implements ObjectStore {
  readonly #store: ObjectStore
  readonly #signal: AbortSignal | undefined
  readonly #timeoutMs: number
  /** Ends the calls that wait. They share one listener: a node has many requests, and one signal. */
  readonly #ends = new Set<(reason: unknown) => void>()

  constructor(store: ObjectStore, signal?: AbortSignal, timeoutMs = LIMITS.answerMs) {
    this.#store = store
    this.#signal = signal
    this.#timeoutMs = timeoutMs
  }

  get url(): string {
    return this.#store.url
  }

  get layout(): ObjectStore['layout'] {
    return this.#store.layout
  }

  async put(key: string, body: Uint8Array | AsyncIterable<Uint8Array>, options: PutOptions = {}): Promise<void> {
    const call = new Call(options.signal)
    const limited = { requestTimeoutMs: PUT_TIMEOUT_MS, ...options, signal: call.signal }
    await this.#untilEnd(call, () => this.#store.put(key, body, limited))
  }

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const action = `read object ${key}`
    const call = new Call(signal)
    const stream = await this.#inTime(action, call, () => this.#store.get(key, range, call.signal))
    return this.#stream(action, call, stream)
  }

  head(key: string, signal?: AbortSignal): Promise<ObjectHead | undefined> {
    const call = new Call(signal)
    return this.#inTime(`look up object ${key}`, call, () => this.#store.head(key, call.signal))
  }

  list(prefix: string, startAfter?: string, signal?: AbortSignal): AsyncIterable<ObjectInfo> {
    const call = new Call(signal)
    return this.#stream('list objects', call, this.#store.list(prefix, startAfter, call.signal))
  }

  /** Has no time limit: a deletion that was given up could later remove a new object under the same key. */
  delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    const call = new Call(signal)
    return this.#untilEnd(call, () => this.#store.delete(keys, call.signal))
  }

  clockMs(signal?: AbortSignal): Promise<number | undefined> {
    const call = new Call(signal)
    return this.#inTime('read its clock', call, () => this.#store.clockMs(call.signal))
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  async *#stream<T>(action: string, call: Call, source: AsyncIterable<T>): AsyncIterable<T> {
    const items = source[Symbol.asyncIterator]()
    let waits = false
    let ended = false
    try {
      for (;;) {
        waits = true
        const next = await this.#inTime(action, call, () => items.next())
        waits = false
        if (next.done === true) {
          ended = true
          return
        }
        yield next.value
      }
    } finally {
      // An iterator that still waits is released when its own request ends.
      if (!ended) {
        const left = Promise.resolve(items.return?.()).catch(() => undefined)
        if (!waits) await left
      }
    }
  }

  async #inTime<T>(action: string, call: Call, request: () => Promise<T>): Promise<T> {
    const late = setTimeout(() => {
      const cause = new Error(`no answer within ${this.#timeoutMs / 1000} s`)
      call.end(new StoreUnavailableError(this.url, action, cause))
    }, this.#timeoutMs)
    try {
      return await this.#untilEnd(call, request)
    } finally {
      clearTimeout(late)
    }
  }

  async #untilEnd<T>(call: Call, request: () => Promise<T>): Promise<T> {
    if (this.#signal?.aborted === true) call.end(this.#signal.reason)
    if (this.#ends.size === 0) this.#signal?.addEventListener('abort', this.#endAll, { once: true })
    this.#ends.add(call.end)
    try {
      return await call.wait(request)
    } finally {
      this.#ends.delete(call.end)
      if (this.#ends.size === 0) this.#signal?.removeEventListener('abort', this.#endAll)
    }
  }

  readonly #endAll = (): void => {
    for (const end of this.#ends) end(this.#signal?.reason)
  }
}

/** A call to the store, which may wait several times. It listens to its caller's signal while it waits. */
class Call {
  readonly #control = new AbortController()
  readonly #caller: AbortSignal | undefined

  constructor(caller: AbortSignal | undefined) {
    this.#caller = caller
  }

  get signal(): AbortSignal {
    return this.#control.signal
  }

  readonly end = (reason: unknown): void => this.#control.abort(reason)

  async wait<T>(request: () => Promise<T>): Promise<T> {
    const forward = () => this.end(this.#caller?.reason)
    if (this.#caller?.aborted === true) forward()
    this.#control.signal.throwIfAborted()
    this.#caller?.addEventListener('abort', forward)
    try {
      return await unlessAborted(this.#control.signal, request())
    } finally {
      this.#caller?.removeEventListener('abort', forward)
    }
  }
}
