/** One interface over every place that keeps objects. Implementations: directory.ts, s3.ts, memory.ts. */

/** User metadata: lowercase keys of letters, digits and dashes; short ASCII values. */
export type Metadata = Readonly<Record<string, string>>

export interface ObjectInfo {
  readonly key: string
  readonly sizeBytes: number
  readonly lastModifiedMs: number
  /** When it was put here, by the store's clock; in a directory, where `lastModifiedMs` may be older, not before that. */
  readonly storedMs: number
}

export interface ObjectHead extends ObjectInfo {
  readonly metadata: Metadata
}

export interface PutOptions {
  readonly metadata?: Metadata
  /** Fail with ObjectExistsError instead of replacing. */
  readonly ifNoneMatch?: '*'
  /** Where the store keeps times by itself (a directory), the object's time; others keep it in metadata only. */
  readonly timestampMs?: number
  readonly signal?: AbortSignal
  /** Called right before the step that makes the object visible: what it throws prevents that. */
  readonly beforeVisible?: () => void
  /** A single request to the store that takes longer has failed. Where there are no requests (a directory), it means nothing. */
  readonly requestTimeoutMs?: number
}

export interface ByteRange {
  readonly start: number
  /** Inclusive; absent: to the end. */
  readonly end?: number
}

export interface ObjectStore {
  /** The address it was opened with, without secrets; for messages. */
  readonly url: string
  /** How Litestream names levels here: `0000` in S3, `ltx/0` in a directory. */
  readonly layout: 's3' | 'directory'
  /** All of it or nothing: a reader never sees a part. Durable when it resolves. */
  put(key: string, body: Uint8Array | AsyncIterable<Uint8Array>, options?: PutOptions): Promise<void>
  /** Throws ObjectNotFoundError. */
  get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>>
  /** undefined when there is none. */
  head(key: string): Promise<ObjectHead | undefined>
  /** Ascending by key, those that start with `prefix` and come after `startAfter`. */
  list(prefix: string, startAfter?: string): AsyncIterable<ObjectInfo>
  /** Missing keys are no error. */
  delete(keys: readonly string[]): Promise<void>
  close(): Promise<void>
}
