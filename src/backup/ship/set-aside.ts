/**
 * Takes an object out of a backup's history without losing it: first a copy under `diverged/`, then the removal
 * (docs/decisions/012-fencing-the-backup.md).
 */

import { formatChecksum, formatTXID } from '../../ltx/format/types.ts'
import { ObjectExistsError, ObjectNotFoundError } from '../../objectstore/errors.ts'
import type { ObjectHead, ObjectStore } from '../../objectstore/objectstore.ts'
import { BackupChangingError } from '../history/errors.ts'
import { divergedKey, parseKey } from '../history/layout.ts'
import { parseMetadata, parseTerm } from '../history/metadata.ts'
import { retried } from '../history/put.ts'

/**
 * Copies the object with its metadata, then removes it. Returns the copy's key; undefined when the object is gone
 * already. May be repeated after any failure. Throws BackupChangingError when the object was replaced in between.
 */
export async function setAside(store: ObjectStore, key: string, signal?: AbortSignal): Promise<string | undefined> {
  const head = await store.head(key, signal)
  if (head === undefined) return undefined
  const copy = copyKey(store, head)
  const { metadata, lastModifiedMs: timestampMs } = head
  const options = { ifNoneMatch: '*', metadata, timestampMs, ...(signal === undefined ? {} : { signal }) } as const
  try {
    await retried(async () => store.put(copy, await store.get(key, undefined, signal), options), signal)
  } catch (error) {
    if (error instanceof ObjectNotFoundError) return undefined
    // An earlier attempt stopped before the removal. The copy's key identifies its content, so it is the same.
    if (!(error instanceof ObjectExistsError)) throw error
  }
  const [copied, still] = [await store.head(copy, signal), await store.head(key, signal)]
  const isSame = still?.storedMs === head.storedMs && still.sizeBytes === head.sizeBytes
  if (still !== undefined && (!isSame || copied?.sizeBytes !== head.sizeBytes)) {
    throw new BackupChangingError(store.url, key)
  }
  signal?.throwIfAborted()
  await retried(() => store.delete([key], signal), signal)
  return copy
}

/** Distinguishes objects that had the same key: by term and checksum, or by when they were stored. */
function copyKey(store: ObjectStore, { key, metadata, storedMs }: ObjectHead): string {
  const parsed = parseKey(store.layout, key)
  if (parsed === undefined) throw new Error(`object ${key} is no part of a backup's history`)
  const term = parseTerm(metadata) ?? 0n
  if (parsed.type === 'marker') {
    return divergedKey(parsed.database, `${term}-${formatTXID(parsed.txid)}-${parsed.kind}-${storedMs}.json`)
  }
  const { database, level, min, max } = parsed
  const { postApplyChecksum } = parseMetadata(metadata)
  const after = postApplyChecksum === undefined ? String(storedMs) : formatChecksum(postApplyChecksum)
  return divergedKey(database, `${term}-${level}-${formatTXID(min)}-${formatTXID(max)}-${after}.ltx`)
}
