import assert from 'node:assert/strict'
import type { ByteRange, ObjectHead, ObjectInfo, ObjectStore, PutOptions } from '../../objectstore/objectstore.ts'
import { UPLOAD_TIMEOUT_MS } from '../history/upload-window.ts'
import { type Fence } from './fence.ts'

/**
 * A store that writes only inside a fence. The clock is read before each write begins, and again just before the
 * object becomes visible: a process that was stopped in between notices before any timer fires.
 */
export class FencedStore implements ObjectStore {
  readonly #store: ObjectStore
  readonly #fence: Fence

  constructor(store: ObjectStore, fence: Fence) {
    this.#store = store
    this.#fence = fence
  }

  get url(): string {
    return this.#store.url
  }

  get layout(): ObjectStore['layout'] {
    return this.#store.layout
  }

  async put(key: string, body: Uint8Array | AsyncIterable<Uint8Array>, options: PutOptions = {}): Promise<void> {
    this.#fence.assertOpen()
    assert.equal(options.ifNoneMatch, '*', `I7: a put of ${key} could overwrite what the backup has`)
    const beforeVisible = () => {
      this.#fence.assertOpen()
      options.beforeVisible?.()
    }
    const limit = this.#fence.isLeased ? { requestTimeoutMs: UPLOAD_TIMEOUT_MS } : {}
    await this.#store.put(key, body, { ...options, ...limit, beforeVisible })
  }

  get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    return this.#store.get(key, range, signal)
  }

  head(key: string, signal?: AbortSignal): Promise<ObjectHead | undefined> {
    return this.#store.head(key, signal)
  }

  list(prefix: string, startAfter?: string, signal?: AbortSignal): AsyncIterable<ObjectInfo> {
    return this.#store.list(prefix, startAfter, signal)
  }

  async delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    this.#fence.assertOpen()
    await this.#store.delete(keys, signal)
  }

  clockMs(signal?: AbortSignal): Promise<number | undefined> {
    return this.#store.clockMs(signal)
  }

  /** The caller that opened the underlying store closes it. */
  async close(): Promise<void> {}
}
