/** Writing to a backup: conditional, retried, and never over something else (I7). */

import pRetry from 'p-retry'
import { formatChecksum, formatTXID, type TXID } from '../ltx/types.ts'
import { ObjectExistsError, StoreUnavailableError } from '../objectstore/errors.ts'
import type { ObjectStore, PutOptions } from '../objectstore/objectstore.ts'
import { BackupConflictError } from './errors.ts'
import { loadMetadata } from './history.ts'
import { fileKey, markerKey, type FileRef, type MarkerKind } from './layout.ts'
import { formatMetadata, type FileMetadata } from './metadata.ts'

/** A store that fails for a moment; what lasts longer is for the caller's next interval. */
const RETRY = { retries: 2, minTimeout: 100, factor: 3, randomize: true } as const

export interface BackupObject extends FileRef {
  readonly database: string
  readonly metadata: FileMetadata
  /** Called for each attempt. */
  body(): AsyncIterable<Uint8Array>
}

/**
 * Puts an LTX file under its name. One that is there already, with the same checksum after it, is as good: false. Throws
 * BackupConflictError when it is another.
 */
export async function putFile(store: ObjectStore, object: BackupObject, signal?: AbortSignal): Promise<boolean> {
  const key = fileKey(store.layout, object.database, object)
  const { timestampMs } = object.metadata
  const options: PutOptions = {
    ifNoneMatch: '*',
    metadata: formatMetadata(object.min, object.max, object.metadata),
    ...(timestampMs === undefined ? {} : { timestampMs }),
    ...(signal === undefined ? {} : { signal }),
  }
  try {
    await retried(() => store.put(key, object.body(), options), signal)
    return true
  } catch (error) {
    if (!(error instanceof ObjectExistsError)) throw error
    await assertSame(store, key, object.metadata)
    return false
  }
}

/** Puts a marker; one that is there already says the same. */
export async function putMarker(
  store: ObjectStore,
  database: string,
  marker: { readonly kind: MarkerKind; readonly txid: TXID; readonly timestampMs: number; readonly term: number },
  signal?: AbortSignal,
): Promise<void> {
  const { kind, txid, timestampMs, term } = marker
  const timestamp = new Date(timestampMs).toISOString()
  const text = JSON.stringify({ kind, txid: formatTXID(txid), timestamp, term }) + '\n'
  const options: PutOptions = { ifNoneMatch: '*', timestampMs, ...(signal === undefined ? {} : { signal }) }
  try {
    await retried(() => store.put(markerKey(database, kind, txid), Buffer.from(text), options), signal)
  } catch (error) {
    if (!(error instanceof ObjectExistsError)) throw error
  }
}

function retried<T>(run: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return pRetry(run, {
    ...RETRY,
    shouldRetry: ({ error }) => error instanceof StoreUnavailableError,
    ...(signal === undefined ? {} : { signal }),
  })
}

async function assertSame(store: ObjectStore, key: string, ours: FileMetadata): Promise<void> {
  const theirs = await loadMetadata(store, { key })
  if (ours.postApplyChecksum !== undefined && ours.postApplyChecksum === theirs.postApplyChecksum) return
  const show = ({ postApplyChecksum: sum }: FileMetadata) =>
    sum === undefined ? 'an unknown checksum' : formatChecksum(sum)
  throw new BackupConflictError(store.url, key, `${show(theirs)} after it, where this node has ${show(ours)}`)
}
