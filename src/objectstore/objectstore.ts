/** One interface over every place that stores objects: directory/, s3/ and stores/memory.ts implement it. */

/** User metadata: lowercase keys of letters, digits and dashes; short ASCII values. */
export type Metadata = Readonly<Record<string, string>>

export interface ObjectInfo {
  readonly key: string
  readonly sizeBytes: number
  readonly lastModifiedMs: number
  /**
   * When the object was stored, by the store's clock. In a directory `lastModifiedMs` may be older; this time is not.
   */
  readonly storedMs: number
  /** Another content has another one, where the store tells: a bucket's ETag, without quotes. */
  readonly etag?: string
}

export interface ObjectHead extends ObjectInfo {
  readonly metadata: Metadata
}

export interface PutOptions {
  readonly metadata?: Metadata
  /** Fails with ObjectExistsError instead of replacing. */
  readonly ifNoneMatch?: '*'
  /** The object's time, where the store records times (a directory). Others have it only in the metadata. */
  readonly timestampMs?: number
  readonly signal?: AbortSignal
  /** Called right before the step that makes the object visible. If it throws, the object does not appear. */
  readonly beforeVisible?: () => void
  /** Called with the object's ETag where the store's answer names it. */
  readonly onStored?: (etag: string) => void
  /** The timeout of a single request to the store. Ignored where there are no requests (a directory). */
  readonly requestTimeoutMs?: number
}

export interface ByteRange {
  readonly start: number
  /** Inclusive; absent: to the end. */
  readonly end?: number
}

/**
 * Every call ends with its signal, and rejects with its reason, however long the store takes. It begins nothing after
 * that; what it had under way by then may still take effect.
 */
export interface ObjectStore {
  /** The store's address without secrets, for messages. */
  readonly url: string
  /** Litestream's names of levels: `0000` in S3, `ltx/0` in a directory. */
  readonly layout: 's3' | 'directory'
  /** Stores all of the object or nothing: a reader never sees a part. Durable when it resolves. */
  put(key: string, body: Uint8Array | AsyncIterable<Uint8Array>, options?: PutOptions): Promise<void>
  /** Throws ObjectNotFoundError. */
  get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>>
  /** undefined when there is no such object. */
  head(key: string, signal?: AbortSignal): Promise<ObjectHead | undefined>
  /** Ascending by key: the objects whose keys start with `prefix` and come after `startAfter`. */
  list(prefix: string, startAfter?: string, signal?: AbortSignal): AsyncIterable<ObjectInfo>
  /** Missing keys are not an error. */
  delete(keys: readonly string[], signal?: AbortSignal): Promise<void>
  /**
   * The store's own clock now, in ms since the Unix epoch, to about a second. Undefined where it shows none. What is
   * deleted by its age is deleted only while this clock agrees with the machine's.
   */
  clockMs(signal?: AbortSignal): Promise<number | undefined>
  close(): Promise<void>
}
