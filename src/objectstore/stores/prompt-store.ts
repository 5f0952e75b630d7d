import { LIMITS } from '../../config/limits.ts'
import { StoreUnavailableError } from '../errors.ts'
import type { ByteRange, ObjectHead, ObjectInfo, ObjectStore, PutOptions } from '../objectstore.ts'

/** How long a request with a body may take: as large as one gets, over a slow line. */
const PUT_TIMEOUT_MS = 60_000

/**
 * A store that answers in time, or fails. A store that hangs must not stop a node from starting or from releasing its
 * lease. Waiting also ends with the signal.
 */
export class PromptStore implements ObjectStore {
  readonly #store: ObjectStore
  readonly #signal: AbortSignal | undefined
  readonly #timeoutMs: number
  /** Ends the requests that are under way. They share one listener: a node has many requests, and one signal. */
  readonly #aborts = new Set<() => void>()

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

  put(key: string, body: Uint8Array | AsyncIterable<Uint8Array>, options: PutOptions = {}): Promise<void> {
    return this.#store.put(key, body, { requestTimeoutMs: PUT_TIMEOUT_MS, ...options })
  }

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const action = `read object ${key}`
    return this.#stream(action, await this.#answer(action, () => this.#store.get(key, range, signal)))
  }

  head(key: string): Promise<ObjectHead | undefined> {
    return this.#answer(`look up object ${key}`, () => this.#store.head(key))
  }

  list(prefix: string, startAfter?: string): AsyncIterable<ObjectInfo> {
    return this.#stream('list objects', this.#store.list(prefix, startAfter))
  }

  /**
   * Waits for the deletion however long it takes: an abandoned one could later remove a new object under the same
   * key.
   */
  delete(keys: readonly string[]): Promise<void> {
    return this.#store.delete(keys)
  }

  clockMs(): Promise<number | undefined> {
    return this.#answer('read its clock', () => this.#store.clockMs())
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  async *#stream<T>(action: string, source: AsyncIterable<T>): AsyncIterable<T> {
    const items = source[Symbol.asyncIterator]()
    let waits = false
    let ended = false
    try {
      for (;;) {
        waits = true
        const next = await this.#answer(action, () => items.next())
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

  async #answer<T>(action: string, request: () => Promise<T>): Promise<T> {
    const signal = this.#signal
    signal?.throwIfAborted()
    const answer = request()
    let timer: NodeJS.Timeout | undefined
    let abort = () => {}
    const away = new Promise<never>((_, reject) => {
      const late = () => {
        const cause = new Error(`no answer within ${this.#timeoutMs / 1000} s`)
        reject(new StoreUnavailableError(this.url, action, cause))
      }
      timer = setTimeout(late, this.#timeoutMs)
      abort = () => reject(signal?.reason as Error)
    })
    if (this.#aborts.size === 0) signal?.addEventListener('abort', this.#abortAll, { once: true })
    this.#aborts.add(abort)
    try {
      return await Promise.race([answer, away])
    } finally {
      clearTimeout(timer)
      this.#aborts.delete(abort)
      if (this.#aborts.size === 0) signal?.removeEventListener('abort', this.#abortAll)
    }
  }

  readonly #abortAll = (): void => {
    for (const abort of this.#aborts) abort()
  }
}
