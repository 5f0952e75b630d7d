import type { GetObjectCommandOutput, S3 } from '@aws-sdk/client-s3'
import { itemsUnlessAborted, unlessAborted } from '../../util/waits.ts'
import {
  InvalidKeyError,
  InvalidRangeError,
  ObjectExistsError,
  ObjectNotFoundError,
  StoreUnavailableError,
} from '../errors.ts'
import { checkKey, checkPrefix, MAX_KEY_BYTES } from '../keys.ts'
import type { ByteRange, Metadata, ObjectHead, ObjectInfo, ObjectStore, PutOptions } from '../objectstore.ts'
import { discard, isAnswerTo, isRange, NOT_THE_RANGE, streamOf } from './answers.ts'
import { type OpenAt, resuming } from './body.ts'
import { createClient } from './client.ts'
import { ServerClock } from './clock.ts'
import { isNoSuchObject, statusOf, storeError } from './errors.ts'
import { fetchingAhead, RANGE_BYTES, Room } from './parts-ahead.ts'
import { ForeignAnswerError, provenLength, provenNextPage, tagOf } from './proof.ts'
import { type Aborting, aborting, putObject } from './put.ts'
import type { S3Address } from './url.ts'

/** The most keys that DeleteObjects accepts. */
const MAX_DELETE_KEYS = 1000
const PART_BYTES = 8 * 1024 * 1024
/** Of all objects that are read at once: 48 MiB. */
const RANGES_AHEAD = 6
const MAX_KEY = '\u{10FFFF}'
/** How many pages of a listing in a row may name no object. Servers that filter send a few. */
const MAX_EMPTY_PAGES = 100

/**
 * Objects in an S3 bucket, or on a server with the same protocol. Metadata are `x-amz-meta-*` headers. A put that is
 * retried after its answer was lost may find its own object and throws ObjectExistsError; the caller recognizes the
 * object by its content.
 */
export class S3Store implements ObjectStore {
  readonly url: string
  readonly layout = 's3'
  readonly #address: S3Address
  readonly #partBytes: number
  readonly #rangeBytes: number
  readonly #room = new Room(RANGES_AHEAD)
  readonly #clock = new ServerClock()
  #loading: Promise<S3> | undefined

  constructor(address: S3Address, options: { readonly partBytes?: number; readonly rangeBytes?: number } = {}) {
    this.#address = address
    this.#partBytes = options.partBytes ?? PART_BYTES
    this.#rangeBytes = options.rangeBytes ?? RANGE_BYTES
    this.url = address.url
  }

  async put(key: string, body: Uint8Array | AsyncIterable<Uint8Array>, options: PutOptions = {}): Promise<void> {
    const { ifNoneMatch, metadata, signal, beforeVisible, onStored, requestTimeoutMs } = options
    const target = { ...this.#place(key), ...(metadata === undefined ? {} : { Metadata: { ...metadata } }) }
    const request = async <T>(run: () => Promise<T>): Promise<T> => {
      try {
        return await unlessAborted(signal, run())
      } catch (error) {
        signal?.throwIfAborted()
        // 409: another writer is writing the object right now.
        const taken = ifNoneMatch === '*' && (statusOf(error) === 412 || statusOf(error) === 409)
        throw taken ? new ObjectExistsError(this.url, key) : storeError(this.url, `write object ${key}`, error)
      }
    }
    const beforeParts = async () => {
      if (ifNoneMatch === '*' && (await this.head(key, signal)) !== undefined)
        throw new ObjectExistsError(this.url, key)
    }
    signal?.throwIfAborted()
    const client = await unlessAborted(signal, this.#client())
    const confirm = (sizeBytes: number) => this.#confirm(key, sizeBytes, metadata ?? {}, signal)
    const putOptions = {
      partBytes: this.#partBytes,
      ifNoneMatch,
      signal,
      beforeVisible,
      onStored,
      requestTimeoutMs,
      beforeParts,
      request,
      confirm,
    }
    await putObject(client, target, body, putOptions)
  }

  async get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const place = this.#place(key)
    signal?.throwIfAborted()
    if (range !== undefined && !isRange(range)) return this.#rejectRange(key, range, signal)
    const Range = range && `bytes=${range.start}-${range.end ?? ''}`
    const action = `read object ${key}`
    let answer: GetObjectCommandOutput
    try {
      answer = await this.#send(signal, (client, until) =>
        client.getObject({ ...place, ...(Range && { Range }) }, until),
      )
    } catch (error) {
      signal?.throwIfAborted()
      if (range !== undefined && statusOf(error) === 416) return this.#rejectRange(key, range, signal)
      throw this.#readError(key, error)
    }
    const { Body, ETag, ContentRange } = answer
    let length: number
    try {
      length = provenLength(answer)
      if (Body === undefined) throw new ForeignAnswerError('it has no body')
      if (range !== undefined && !isAnswerTo(range, ContentRange, length)) throw new Error(NOT_THE_RANGE)
    } catch (error) {
      discard(Body)
      throw storeError(this.url, action, error)
    }
    const start = range?.start ?? 0
    const end = start + length
    // If-Match never matches a weak ETag.
    const isWeak = /^W\//i.test(ETag ?? '')
    const openAt: OpenAt = async (offset, to, until) => {
      try {
        const Part = { ...place, IfMatch: isWeak ? undefined : ETag, Range: `bytes=${offset}-${to - 1}` }
        const part = await this.#send(until, (client, ending) => client.getObject(Part, ending))
        const isRight = isAnswerTo({ start: offset, end: to - 1 }, part.ContentRange, part.ContentLength)
        const isSame = part.ETag === ETag || (part.ETag === undefined && !isWeak)
        if (isRight && isSame) return streamOf(part.Body)
        discard(part.Body)
        throw new Error(isRight ? 'it was replaced while it was read' : NOT_THE_RANGE)
      } catch (error) {
        until?.throwIfAborted()
        throw this.#readError(key, error)
      }
    }
    const failed = (cause: unknown) => storeError(this.url, action, cause)
    const first = streamOf(Body)
    const inOrder = length <= 2 * this.#rangeBytes || isWeak
    const body = inOrder
      ? resuming(first, start, end, openAt, signal, failed)
      : fetchingAhead({ first, start, end, openAt, signal, failed }, this.#room, this.#rangeBytes)
    return itemsUnlessAborted(signal, body)
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectHead | undefined> {
    const place = this.#place(key)
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await this.#send(signal, (client, until) => client.headObject(place, until))
        const { LastModified, ETag, Metadata = {} } = answer
        const storedMs = LastModified?.getTime() ?? 0
        const info = { key, sizeBytes: provenLength(answer), lastModifiedMs: storedMs, storedMs }
        return { ...info, ...tagOf(ETag), metadata: Metadata }
      } catch (error) {
        signal?.throwIfAborted()
        // HEAD has no body: a missing bucket, or another server's answer, looks like a missing object.
        if (statusOf(error) === 404 && (await this.#isMissing(key, signal))) return undefined
        // It may have been stored just now.
        if (statusOf(error) === 404 && attempt === 1) continue
        throw storeError(this.url, `look up object ${key}`, error)
      }
    }
  }

  async *list(prefix: string, startAfter?: string, signal?: AbortSignal): AsyncIterable<ObjectInfo> {
    checkPrefix(prefix)
    const { bucket: Bucket, prefix: root } = this.#address
    const where = { Bucket, Prefix: root + prefix, ...(startAfter !== undefined && { StartAfter: root + startAfter }) }
    let token: string | undefined
    const tokens = new Set<string>()
    let emptyPages = 0
    do {
      const input = { ...where, ...(token !== undefined && { ContinuationToken: token }) }
      const { page, next } = await this.#send(signal, (client, until) => client.listObjectsV2(input, until))
        .then((answer) => ({ page: answer, next: provenNextPage(answer, where.Prefix) }))
        .catch((error: unknown) => {
          signal?.throwIfAborted()
          throw storeError(this.url, 'list objects', error)
        })
      for (const { Key, Size = 0, LastModified, ETag } of page.Contents ?? []) {
        // Consoles create objects whose keys end in a slash to show a folder.
        if (Key === undefined || Key.endsWith('/') || !Key.startsWith(where.Prefix)) continue
        const storedMs = LastModified?.getTime() ?? 0
        emptyPages = 0
        yield { key: Key.slice(root.length), sizeBytes: Size, lastModifiedMs: storedMs, storedMs, ...tagOf(ETag) }
      }
      if (++emptyPages > MAX_EMPTY_PAGES) throw this.#listError(`${MAX_EMPTY_PAGES} pages in a row named no object`)
      if (next !== undefined && tokens.has(next)) throw this.#listError('the store returned the same page again')
      if (next !== undefined) tokens.add(next)
      token = next
    } while (token !== undefined)
  }

  async delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    const places = keys.map((key) => ({ Key: this.#place(key).Key }))
    for (let at = 0; at < places.length; at += MAX_DELETE_KEYS) {
      await this.#deleteBatch(places.slice(at, at + MAX_DELETE_KEYS), signal)
    }
  }

  async clockMs(signal?: AbortSignal): Promise<number | undefined> {
    signal?.throwIfAborted()
    if (this.#clock.nowMs === undefined) for await (const _ of this.list('', MAX_KEY, signal)) break
    return this.#clock.nowMs
  }

  async close(): Promise<void> {
    const loading = this.#loading
    this.#loading = undefined
    const client = await loading?.catch(() => undefined)
    client?.destroy()
  }

  async #deleteBatch(Objects: { Key: string }[], signal: AbortSignal | undefined): Promise<void> {
    const action =
      Objects.length === 1 ? `delete object ${this.#ownKey(Objects[0]?.Key)}` : `delete ${Objects.length} objects`
    const input = { Bucket: this.#address.bucket, Delete: { Objects } }
    const { Deleted = [], Errors = [] } = await this.#send(signal, (client, until) =>
      client.deleteObjects(input, until),
    ).catch((error: unknown) => {
      signal?.throwIfAborted()
      throw storeError(this.url, action, error)
    })
    // The answer is a success even if no object could be deleted.
    const failed = Errors.filter(({ Code }) => Code !== 'NoSuchKey')
    const [first] = failed
    if (first === undefined) {
      const named = new Set([...Deleted, ...Errors].map(({ Key }) => Key))
      for (const { Key } of Objects) if (!named.has(Key)) await this.#confirmDeleted(this.#ownKey(Key), signal)
      return
    }
    const error = Object.assign(new Error(`${this.#ownKey(first.Key)}: ${first.Message ?? ''}`), { name: first.Code })
    throw storeError(this.url, failed.length === 1 ? action : `${action} (${failed.length} of them)`, error)
  }

  /** Whether an object whose HEAD said 404 is missing by the answer to GET, which says what is missing. */
  async #isMissing(key: string, signal: AbortSignal | undefined): Promise<boolean> {
    try {
      for await (const chunk of await this.get(key, undefined, signal)) if (chunk.length > 0) break
      return false
    } catch (error) {
      if (error instanceof ObjectNotFoundError) return true
      throw error
    }
  }

  async #confirm(key: string, sizeBytes: number, metadata: Metadata, signal?: AbortSignal): Promise<void> {
    const found = await this.head(key, signal)
    const isOurs =
      found?.sizeBytes === sizeBytes &&
      Object.entries(metadata).every(([name, value]) => found.metadata[name] === value.trim())
    if (isOurs) return
    const problem = 'it does not name what was stored, and the store does not have it'
    throw storeError(this.url, `write object ${key}`, new ForeignAnswerError(problem))
  }

  async #confirmDeleted(key: string, signal: AbortSignal | undefined): Promise<void> {
    if ((await this.head(key, signal)) === undefined) return
    const problem = 'it does not name the object, which is still there'
    throw storeError(this.url, `delete object ${key}`, new ForeignAnswerError(problem))
  }

  #listError(problem: string): StoreUnavailableError {
    return new StoreUnavailableError(this.url, 'list objects', new Error(problem))
  }

  #readError(key: string, error: unknown): Error {
    if (isNoSuchObject(error)) return new ObjectNotFoundError(this.url, key)
    return storeError(this.url, `read object ${key}`, error)
  }

  async #rejectRange(key: string, { start, end }: ByteRange, signal?: AbortSignal): Promise<never> {
    const head = await this.head(key, signal)
    if (head === undefined) throw new ObjectNotFoundError(this.url, key)
    throw new InvalidRangeError(this.url, key, start, end, head.sizeBytes)
  }

  #place(key: string): { readonly Bucket: string; readonly Key: string } {
    checkKey(key)
    const Key = this.#address.prefix + key
    if (Buffer.byteLength(Key) > MAX_KEY_BYTES) {
      throw new InvalidKeyError(key, `with the bucket's prefix is longer than ${MAX_KEY_BYTES} bytes`)
    }
    return { Bucket: this.#address.bucket, Key }
  }

  #ownKey(full = ''): string {
    return full.slice(this.#address.prefix.length)
  }

  /** A request, with the SDK's own retries, that ends with the signal. */
  #send<T>(signal: AbortSignal | undefined, run: (client: S3, until: Aborting) => Promise<T>): Promise<T> {
    signal?.throwIfAborted()
    return unlessAborted(
      signal,
      this.#client().then((client) => run(client, aborting(signal))),
    )
  }

  #client(): Promise<S3> {
    this.#loading ??= createClient(this.#address, {}, this.#clock.answered)
    return this.#loading
  }
}
