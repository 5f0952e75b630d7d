import { ObjectNotFoundError } from '../../objectstore/errors.ts'
import type { ByteRange, ObjectHead, ObjectInfo, ObjectStore, PutOptions } from '../../objectstore/objectstore.ts'
import type { CopyInProgress } from './local-copies.ts'

/** What takes the notes. */
export interface StoreNotes {
  /** A copy of an object that is about to be put, where one is wanted. */
  beginCopy(key: string): CopyInProgress | undefined
  /** This node has put the object. */
  stored(key: string, sizeBytes: number, options: PutOptions, etag: string | undefined): Promise<void>
  found(head: ObjectHead): void
  isGone(key: string): void
  headOf(key: string): ObjectHead | undefined
  copyOf(key: string): AsyncIterable<Uint8Array> | undefined
}

/** A store that takes notes of what it puts, finds and deletes. */
export class NotedStore implements ObjectStore {
  readonly #store: ObjectStore
  readonly #notes: StoreNotes
  /** The notes answer where they can. */
  readonly #isLocal: boolean

  constructor(store: ObjectStore, notes: StoreNotes, { isLocal }: { readonly isLocal: boolean }) {
    this.#store = store
    this.#notes = notes
    this.#isLocal = isLocal
  }

  get url(): string {
    return this.#store.url
  }

  get layout(): ObjectStore['layout'] {
    return this.#store.layout
  }

  async put(key: string, body: Uint8Array | AsyncIterable<Uint8Array>, options: PutOptions = {}): Promise<void> {
    const copy = body instanceof Uint8Array ? undefined : this.#notes.beginCopy(key)
    let sizeBytes = body instanceof Uint8Array ? body.length : 0
    async function* counted(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
      for await (const chunk of chunks) {
        sizeBytes += chunk.length
        await copy?.add(chunk)
        yield chunk
      }
    }
    let etag: string | undefined
    const noted = { ...options, onStored: (tag: string) => (etag = tag) }
    try {
      await this.#store.put(key, body instanceof Uint8Array ? body : counted(body), noted)
      await copy?.complete()
    } catch (error) {
      await copy?.discard()
      throw error
    }
    await this.#notes.stored(key, sizeBytes, options, etag)
  }

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const copy = this.#isLocal && range === undefined ? this.#notes.copyOf(key) : undefined
    if (copy !== undefined) return copy
    try {
      return await this.#store.get(key, range, signal)
    } catch (error) {
      if (error instanceof ObjectNotFoundError) this.#notes.isGone(key)
      throw error
    }
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectHead | undefined> {
    const known = this.#isLocal ? this.#notes.headOf(key) : undefined
    if (known !== undefined) return known
    const head = await this.#store.head(key, signal)
    if (head === undefined) this.#notes.isGone(key)
    else this.#notes.found(head)
    return head
  }

  list(prefix: string, startAfter?: string, signal?: AbortSignal): AsyncIterable<ObjectInfo> {
    return this.#store.list(prefix, startAfter, signal)
  }

  async delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    await this.#store.delete(keys, signal)
    for (const key of keys) this.#notes.isGone(key)
  }

  clockMs(signal?: AbortSignal): Promise<number | undefined> {
    return this.#store.clockMs(signal)
  }

  /** The caller that opened the underlying store closes it. */
  async close(): Promise<void> {}
}
