/** Writes to a backup: conditional, retried, and never over a different object (I7). */

import assert from 'node:assert/strict'
import pRetry from 'p-retry'
import { formatChecksum, formatTXID, type TXID } from '../../ltx/format/types.ts'
import { ObjectExistsError, StoreUnavailableError } from '../../objectstore/errors.ts'
import type { ObjectHead, ObjectStore, PutOptions } from '../../objectstore/objectstore.ts'
import { isoTime } from '../../util/time.ts'
import { BackupConflictError } from './errors.ts'
import { fileKey, type FileRef, markerKey, type MarkerKind } from './layout.ts'
import { type FileMetadata, formatMetadata, formatTerm, parseMetadata, parseTerm } from './metadata.ts'

/** Covers short failures of a store. A longer outage is left to the caller's next interval. */
const RETRY = { retries: 2, minTimeout: 100, factor: 3, randomize: true } as const
/** How often a conflict at one key is resolved before the put fails. */
const MAX_ATTEMPTS = 4

export interface BackupObject extends FileRef {
  readonly database: string
  readonly metadata: FileMetadata
  /** Called for each attempt. */
  body(): AsyncIterable<Uint8Array>
}

export interface BackupMarkerObject {
  readonly kind: MarkerKind
  readonly txid: TXID
  readonly timestampMs: number
  readonly term: bigint
}

/** Another object exists under the key of ours. `last` is the last transaction that it concerns. */
export interface Conflict {
  readonly key: string
  readonly last: TXID
  readonly theirs: ObjectHead
}

/** Frees a key that a different object holds, or throws. */
export type ConflictResolver = (conflict: Conflict, signal: AbortSignal | undefined) => Promise<void>

/**
 * Puts an LTX file. Returns false when a file with the same post-apply checksum exists already, which is as good.
 * Throws BackupConflictError, or the errors of `resolve`, when the existing file differs.
 */
export async function putFile(
  store: ObjectStore,
  object: BackupObject,
  signal?: AbortSignal,
  resolve?: ConflictResolver,
): Promise<boolean> {
  const key = fileKey(store.layout, object.database, object)
  const { timestampMs, postApplyChecksum } = object.metadata
  const options: PutOptions = {
    ifNoneMatch: '*',
    metadata: formatMetadata(object.min, object.max, object.metadata),
    ...(timestampMs === undefined ? {} : { timestampMs }),
    ...(signal === undefined ? {} : { signal }),
  }
  for (let attempt = 1; ; attempt++) {
    const theirs = await putUnlessThere(store, key, () => object.body(), options)
    if (theirs === undefined) return true
    const { postApplyChecksum: found } = parseMetadata(theirs.metadata)
    if (postApplyChecksum !== undefined && postApplyChecksum === found) return false
    if (resolve === undefined || attempt >= MAX_ATTEMPTS) {
      const show = (sum: FileMetadata['postApplyChecksum']) =>
        sum === undefined ? 'an unknown checksum' : formatChecksum(sum)
      const detail = `${show(found)} after it, where this node has ${show(postApplyChecksum)}`
      throw new BackupConflictError(store.url, key, detail)
    }
    await resolve({ key, last: object.max, theirs }, signal)
  }
}

/** Puts a marker. An existing marker says the same, unless it is of another term: then `resolve` is called. */
export async function putMarker(
  store: ObjectStore,
  database: string,
  marker: BackupMarkerObject,
  signal?: AbortSignal,
  resolve?: ConflictResolver,
): Promise<void> {
  const { kind, txid, timestampMs, term } = marker
  const timestamp = isoTime(timestampMs)
  const text = JSON.stringify({ kind, txid: formatTXID(txid), timestamp, term: String(term) }) + '\n'
  const metadata = formatTerm(term)
  const options: PutOptions = { ifNoneMatch: '*', timestampMs, metadata, ...(signal === undefined ? {} : { signal }) }
  const key = markerKey(database, kind, txid)
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
    const theirs = await putUnlessThere(store, key, () => Buffer.from(text), options)
    if (theirs === undefined || resolve === undefined || (parseTerm(theirs.metadata) ?? 0n) === term) return
    await resolve({ key, last: txid, theirs }, signal)
  }
}

/** Returns the object that exists already; undefined once ours is stored. */
async function putUnlessThere(
  store: ObjectStore,
  key: string,
  body: () => Uint8Array | AsyncIterable<Uint8Array>,
  options: PutOptions,
): Promise<ObjectHead | undefined> {
  assert.equal(options.ifNoneMatch, '*', `I7: a put of ${key} could overwrite what the backup has`)
  for (let attempt = 1; ; attempt++) {
    try {
      await retried(() => store.put(key, body(), options), options.signal)
      return undefined
    } catch (error) {
      if (!(error instanceof ObjectExistsError)) throw error
      const theirs = await store.head(key, options.signal)
      if (theirs !== undefined) return theirs
      // The object existed, and was removed before it could be read.
      if (attempt >= MAX_ATTEMPTS) throw error
    }
  }
}

/** Retries short failures of the store. */
export function retried<T>(run: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return pRetry(run, {
    ...RETRY,
    shouldRetry: ({ error }) => error instanceof StoreUnavailableError,
    ...(signal === undefined ? {} : { signal }),
  })
}
