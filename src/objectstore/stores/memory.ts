import { createHash } from 'node:crypto'
import { InvalidRangeError, ObjectExistsError, ObjectNotFoundError } from '../errors.ts'
import { checkKey, checkPrefix, compareKeys } from '../keys.ts'
import type { ByteRange, Metadata, ObjectHead, ObjectInfo, ObjectStore, PutOptions } from '../objectstore.ts'

interface StoredObject {
  readonly bytes: Uint8Array
  readonly metadata: Metadata
  readonly lastModifiedMs: number
  readonly storedMs: number
  readonly etag: string | undefined
}

const READ_CHUNK_BYTES = 64 * 1024

/** Objects in this process's memory, with a bucket's semantics. They end with the process. */
export class MemoryStore implements ObjectStore {
  readonly url: string
  readonly layout: ObjectStore['layout']
  readonly #objects = new Map<string, StoredObject>()
  readonly #now: () => number

  constructor(options: { readonly layout?: ObjectStore['layout']; readonly now?: () => number } = {}) {
    this.layout = options.layout ?? 's3'
    this.#now = options.now ?? Date.now
    this.url = 'memory:'
  }

  async put(key: string, body: Uint8Array | AsyncIterable<Uint8Array>, options: PutOptions = {}): Promise<void> {
    checkKey(key)
    const { ifNoneMatch, metadata = {}, timestampMs, signal, beforeVisible, onStored } = options
    const chunks: Uint8Array[] = []
    for await (const chunk of body instanceof Uint8Array ? [body] : body) {
      signal?.throwIfAborted()
      // The source may reuse a chunk's memory once the next one is requested.
      chunks.push(new Uint8Array(chunk))
    }
    signal?.throwIfAborted()
    if (ifNoneMatch === '*' && this.#objects.has(key)) throw new ObjectExistsError(this.url, key)
    const hasTime = this.layout === 'directory' && timestampMs !== undefined
    const storedMs = this.#now()
    const lastModifiedMs = hasTime ? timestampMs : storedMs
    beforeVisible?.()
    const bytes = Buffer.concat(chunks)
    const etag = this.layout === 's3' ? createHash('md5').update(bytes).digest('hex') : undefined
    this.#objects.set(key, { bytes, metadata: { ...metadata }, lastModifiedMs, storedMs, etag })
    if (etag !== undefined) onStored?.(etag)
  }

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    checkKey(key)
    signal?.throwIfAborted()
    const object = this.#objects.get(key)
    if (object === undefined) throw new ObjectNotFoundError(this.url, key)
    const sizeBytes = object.bytes.length
    const { start, end } = range ?? { start: 0 }
    const outside = !Number.isSafeInteger(start) || start < 0 || start >= sizeBytes || (end ?? start) < start
    if (range !== undefined && outside) throw new InvalidRangeError(this.url, key, start, end, sizeBytes)
    return slices(object.bytes.subarray(start, end === undefined ? sizeBytes : end + 1), signal)
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectHead | undefined> {
    checkKey(key)
    signal?.throwIfAborted()
    const object = this.#objects.get(key)
    return object && { ...describe(key, object), metadata: object.metadata }
  }

  async *list(prefix: string, startAfter?: string, signal?: AbortSignal): AsyncIterable<ObjectInfo> {
    checkPrefix(prefix)
    const keys = [...this.#objects.keys()].filter((key) => key.startsWith(prefix)).sort(compareKeys)
    signal?.throwIfAborted()
    for (const key of keys) {
      signal?.throwIfAborted()
      if (startAfter !== undefined && compareKeys(key, startAfter) <= 0) continue
      const object = this.#objects.get(key)
      // The object may be deleted while the list is read.
      if (object !== undefined) yield describe(key, object)
    }
  }

  async delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    for (const key of keys) checkKey(key)
    signal?.throwIfAborted()
    for (const key of keys) this.#objects.delete(key)
  }

  async clockMs(signal?: AbortSignal): Promise<number> {
    signal?.throwIfAborted()
    return this.#now()
  }

  async close(): Promise<void> {
    // The objects live as long as the store is referenced.
  }
}

function describe(key: string, { bytes, lastModifiedMs, storedMs, etag }: StoredObject): ObjectInfo {
  return { key, sizeBytes: bytes.length, lastModifiedMs, storedMs, ...(etag !== undefined && { etag }) }
}

async function* slices(bytes: Uint8Array, signal: AbortSignal | undefined): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += READ_CHUNK_BYTES) {
    signal?.throwIfAborted()
    yield new Uint8Array(bytes.subarray(at, at + READ_CHUNK_BYTES))
  }
}
