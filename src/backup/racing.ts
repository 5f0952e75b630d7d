/**
 * Fakes for tests of racing writers: a store in which every operation waits for its turn, and a record of every
 * object that was ever stored.
 */

import { createHash } from 'node:crypto'
import type { ByteRange, ObjectHead, ObjectInfo, ObjectStore, PutOptions } from '../objectstore/objectstore.ts'

/** Every object that any of the stores above it ever held, by key and content. */
export class ObjectRecord {
  readonly #contents = new Map<string, Set<string>>()

  add(key: string, bytes: Uint8Array): void {
    const known = this.#contents.get(key) ?? new Set()
    this.#contents.set(key, known.add(digest(bytes)))
  }

  /** The keys of recorded objects whose content is now neither under its key nor under `diverged/`. */
  async vanished(store: ObjectStore): Promise<string[]> {
    const present = new Map<string, string>()
    const diverged = new Set<string>()
    for await (const { key } of store.list('')) {
      const chunks: Uint8Array[] = []
      for await (const chunk of await store.get(key)) chunks.push(chunk)
      const content = digest(Buffer.concat(chunks))
      if (key.includes('/diverged/')) diverged.add(content)
      else present.set(key, content)
    }
    const gone = [...this.#contents].filter(([key, contents]) =>
      [...contents].some((content) => present.get(key) !== content && !diverged.has(content)),
    )
    return gone.map(([key]) => key)
  }
}

/** One writer's view of a store. `turn` resolves when an operation may happen. */
export class TurnStore implements ObjectStore {
  readonly #store: ObjectStore
  readonly #record: ObjectRecord
  readonly #turn: (operation: string) => Promise<void>

  constructor(store: ObjectStore, record: ObjectRecord, turn: (operation: string) => Promise<void>) {
    this.#store = store
    this.#record = record
    this.#turn = turn
  }

  get url(): string {
    return this.#store.url
  }

  get layout(): ObjectStore['layout'] {
    return this.#store.layout
  }

  /** Reads the body in one turn and stores the object in another, because the network lies between the two. */
  async put(key: string, body: Uint8Array | AsyncIterable<Uint8Array>, options?: PutOptions): Promise<void> {
    await this.#turn(`send ${key}`)
    const chunks: Uint8Array[] = []
    for await (const chunk of body instanceof Uint8Array ? [body] : body) chunks.push(new Uint8Array(chunk))
    const bytes = Buffer.concat(chunks)
    options?.signal?.throwIfAborted()
    options?.beforeVisible?.()
    await this.#turn(`put ${key}`)
    // Bytes that were sent arrive even if the sender has stopped since.
    const { signal: _, beforeVisible: __, ...sent } = options ?? {}
    await this.#store.put(key, bytes, sent)
    this.#record.add(key, bytes)
  }

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    await this.#turn(`get ${key}`)
    return this.#store.get(key, range, signal)
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectHead | undefined> {
    await this.#turn(`head ${key}`)
    return this.#store.head(key, signal)
  }

  async *list(prefix: string, startAfter?: string, signal?: AbortSignal): AsyncIterable<ObjectInfo> {
    await this.#turn(`list ${prefix}`)
    yield* this.#store.list(prefix, startAfter, signal)
  }

  async delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    await this.#turn(`delete ${keys.join(' ')}`)
    await this.#store.delete(keys, signal)
  }

  clockMs(signal?: AbortSignal): Promise<number | undefined> {
    return this.#store.clockMs(signal)
  }

  async close(): Promise<void> {}
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
