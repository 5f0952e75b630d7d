/** Taking an object out of a backup's history without losing it (D9): a copy under `diverged/` first, then the removal. */

import { formatChecksum, formatTXID } from '../../ltx/format/types.ts'
import { ObjectExistsError, ObjectNotFoundError } from '../../objectstore/errors.ts'
import type { ObjectHead, ObjectStore } from '../../objectstore/objectstore.ts'
import { BackupChangingError } from '../history/errors.ts'
import { divergedKey, parseKey } from '../history/layout.ts'
import { parseMetadata, parseTerm } from '../history/metadata.ts'
import { retried } from '../history/put.ts'

/**
 * Copies the object, with its metadata, and removes it. Returns the key of the copy; undefined when there was nothing any
 * more. May be repeated after any failure. Throws BackupChangingError when it was replaced meanwhile.
 */
export async function setAside(store: ObjectStore, key: string, signal?: AbortSignal): Promise<string | undefined> {
  const head = await store.head(key)
  if (head === undefined) return undefined
  const copy = copyKey(store, head)
  const { metadata, lastModifiedMs: timestampMs } = head
  const options = { ifNoneMatch: '*', metadata, timestampMs, ...(signal === undefined ? {} : { signal }) } as const
  try {
    await retried(async () => store.put(copy, await store.get(key, undefined, signal), options), signal)
  } catch (error) {
    if (error instanceof ObjectNotFoundError) return undefined
    // From an attempt that did not come to the removal: its name says what it is, so it is the same.
    if (!(error instanceof ObjectExistsError)) throw error
  }
  const [copied, still] = [await store.head(copy), await store.head(key)]
  const isSame = still?.storedMs === head.storedMs && still.sizeBytes === head.sizeBytes
  if (still !== undefined && (!isSame || copied?.sizeBytes !== head.sizeBytes)) {
    throw new BackupChangingError(store.url, key)
  }
  signal?.throwIfAborted()
  await retried(() => store.delete([key]), signal)
  return copy
}

/** Tells objects apart that were under the same name: by term and checksum, or by when they came. */
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
