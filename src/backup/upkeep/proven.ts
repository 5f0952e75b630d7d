/**
 * Snapshots that were read whole. Retention leans on no others: a name in a listing does not tell whether an
 * object can be restored.
 */

import { HEADER_SIZE, TRAILER_SIZE } from '../../ltx/format/header.ts'
import { ObjectNotFoundError } from '../../objectstore/errors.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { CorruptObjectError } from '../history/errors.ts'
import { type BackupFile, loadMetadata } from '../history/history.ts'
import { PageChecksums } from '../history/replay.ts'

/** No LTX file is shorter. */
const MIN_FILE_BYTES = HEADER_SIZE + TRAILER_SIZE

/** By key: the size of what was read, for as long as the store is open. */
const known = new WeakMap<ObjectStore, Map<string, number>>()

/** Whether the snapshot is whole: remembered, or else by reading all of it. Throws the store's errors. */
export async function isProven(store: ObjectStore, file: BackupFile, signal?: AbortSignal): Promise<boolean> {
  if (file.sizeBytes < MIN_FILE_BYTES) return false
  if (known.get(store)?.get(file.key) === file.sizeBytes) return true
  const pages = new PageChecksums()
  try {
    await pages.apply(store, [file], signal)
    const { postApplyChecksum } = await loadMetadata(store, file, signal)
    if (postApplyChecksum !== undefined && postApplyChecksum !== pages.checksum()) return false
  } catch (error) {
    if (error instanceof CorruptObjectError || error instanceof ObjectNotFoundError) return false
    throw error
  }
  remember(store, file.key, file.sizeBytes)
  return true
}

function remember(store: ObjectStore, key: string, sizeBytes: number): void {
  const sizes = known.get(store) ?? new Map<string, number>()
  sizes.set(key, sizeBytes)
  known.set(store, sizes)
}
