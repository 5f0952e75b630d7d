import { resolve } from 'node:path'
import { NEWEST, type Target } from '../backup/history/plan.ts'
import { restoreDatabase } from '../backup/restore/restore.ts'
import { formatChecksum, formatTXID, parseTXID } from '../ltx/format/types.ts'
import { openObjectStore } from '../objectstore/stores/open.ts'
import { errorMessage, UsageError } from '../util/errors.ts'

export interface RestoreOptions {
  /** `file:///DIR` or `s3://BUCKET/PREFIX?…`. */
  readonly backup: string
  /** As it is named on the mount: `app.db`. */
  readonly database: string
  /** A file that does not exist yet. */
  readonly output: string
  /** As of this transaction: up to 16 hexadecimal digits. Neither this nor `timestamp`: the newest state. */
  readonly txid?: string
  /** As of the last transaction before this moment. */
  readonly timestamp?: Date
  readonly signal?: AbortSignal
  /** Called from time to time. Pages can be written more than once, so `done` can fall. */
  readonly progress?: (donePages: number, totalPages: number) => void
}

/** What was restored. */
export interface Restored {
  /** 16 hexadecimal digits. */
  readonly txid: string
  /** Of that transaction. */
  readonly timestamp: Date
  /** Of all pages: 16 hexadecimal digits. */
  readonly checksum: string
  /** Whether the backup told the checksum to compare with. */
  readonly verified: boolean
  readonly sizeBytes: number
  /** Objects that are damaged or missing. Others hold the same transactions, so the restored state is complete. */
  readonly avoided: readonly { readonly key: string; readonly problem: string }[]
  /** Why this may not be the state of the moment asked for, and what to do: a clock was wrong. */
  readonly doubt?: string
}

/**
 * Writes a database out of a backup to a new file, which appears once it is complete, verified and durable. Throws
 * LtxdError: among others BACKUP_NOT_FOUND, TARGET_UNAVAILABLE, OUTPUT_EXISTS.
 */
export async function restore(options: RestoreOptions): Promise<Restored> {
  const { backup, database, signal, progress } = options
  const target = targetOf(options)
  const store = openObjectStore(backup)
  try {
    const result = await restoreDatabase(store, database, target, resolve(options.output), {
      ...(signal && { signal }),
      ...(progress && { progress }),
    })
    return {
      txid: formatTXID(result.txid),
      timestamp: new Date(result.timestampMs),
      checksum: formatChecksum(result.checksum),
      verified: result.verified,
      sizeBytes: result.commit * result.pageSize,
      avoided: result.avoided,
      ...(result.doubt !== undefined && { doubt: result.doubt }),
    }
  } finally {
    await store.close()
  }
}

function targetOf({ txid, timestamp }: RestoreOptions): Target {
  if (txid !== undefined && timestamp !== undefined) throw new UsageError('expected txid or timestamp, not both')
  if (timestamp !== undefined) {
    const timestampMs = timestamp.getTime()
    if (Number.isNaN(timestampMs)) throw new UsageError('timestamp is not a valid Date')
    return { kind: 'timestamp', timestampMs }
  }
  if (txid === undefined) return NEWEST
  try {
    return { kind: 'txid', txid: parseTXID(txid) }
  } catch (error) {
    throw new UsageError(errorMessage(error), { cause: error })
  }
}
