import { HEADER_SIZE } from '../../ltx/format/header.ts'
import { MetadataUnreadableError, StoreUnavailableError } from '../../objectstore/errors.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { StoreRejectedError } from '../../objectstore/s3/errors.ts'
import type { BackupFile, BackupHistory } from './history.ts'

const OF_OBJECT = /^cannot (read|look up) object /
/** How many other objects are tried. */
const MAX_PROBES = 4

/** The store failed, or rejects this node. */
export function isStoreFailure(error: unknown): boolean {
  return error instanceof StoreUnavailableError || error instanceof StoreRejectedError
}

/**
 * Whether a failure is one of the whole store: then nothing can be said of a backup. A store that gives another object
 * of a different name meanwhile only fails for the one. Where there is no other, the store is believed to be away.
 */
export async function isOutage(
  store: ObjectStore,
  histories: Iterable<BackupHistory>,
  error: unknown,
  signal?: AbortSignal,
): Promise<boolean> {
  if (!isStoreFailure(error) || error instanceof MetadataUnreadableError) return false
  const { message } = error as Error
  // Any other failure is one of a listing.
  if (!OF_OBJECT.test(message)) return true
  const others = [...histories].flatMap(({ files }) => probesOf(files)).filter(({ key }) => !message.includes(key))
  for (const { key } of others.slice(0, MAX_PROBES)) if (await gives(store, key, signal)) return false
  return true
}

/** The newest, and the first. */
function probesOf(files: readonly BackupFile[]): BackupFile[] {
  return [...new Set([files.at(-1), files[0]].filter((file) => file !== undefined))]
}

async function gives(store: ObjectStore, key: string, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    for await (const chunk of await store.get(key, { start: 0, end: HEADER_SIZE - 1 }, signal)) void chunk
    return true
  } catch {
    signal?.throwIfAborted()
    return false
  }
}
