import { type Checksum, EMPTY_CHECKSUM, type TXID } from '../../ltx/format/types.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { errorMessage } from '../../util/errors.ts'
import { boundedTime } from '../../util/time.ts'
import { DatabaseDroppedError } from './errors.ts'
import { type BackupHistory, loadMetadata, newestFile } from './history.ts'
import { parseTerm } from './metadata.ts'
import { readHeader } from './objects.ts'
import { NEWEST, planRestore } from './plan.ts'

/** The newest position of one database's backup. */
export interface BackupPosition {
  /** The last transaction it holds, drops included; 0 when it holds nothing. */
  readonly txid: TXID
  /** Undefined when no metadata records it (written by Litestream). */
  readonly checksum: Checksum | undefined
  /** When the last transaction was committed; 0 when there is none. */
  readonly timestampMs: number
  /** The database's page size after the last transaction; 0 when there is none. */
  readonly pageSize: number
  /** In pages; 0 when there is no transaction, or the database was dropped. */
  readonly commit: number
  /** The newest file's term; 0 when there is none, or it is not recorded. */
  readonly term: bigint
  readonly state: 'empty' | 'live' | 'dropped'
  /** Why the newest state cannot be restored; undefined when it can. */
  readonly problem?: string
}

const NOTHING = { timestampMs: 0, pageSize: 0, commit: 0, term: 0n, state: 'empty' } as const

/** Reads the metadata, or the header, of the newest file. */
export async function backupPosition(
  store: ObjectStore,
  history: BackupHistory,
  signal?: AbortSignal,
): Promise<BackupPosition> {
  const newest = newestFile(history.files)
  const dropped = history.markers.findLast(({ kind }) => kind === 'dropped')
  const file = newest === undefined ? undefined : await describe(store, newest.key, signal)
  if (dropped !== undefined && (newest === undefined || dropped.txid > newest.max)) {
    const { txid, timestampMs } = dropped
    const term = parseTerm((await store.head(dropped.key, signal))?.metadata ?? {}) ?? 0n
    const pageSize = file?.pageSize ?? 0
    return { txid, checksum: EMPTY_CHECKSUM, timestampMs, pageSize, commit: 0, term, state: 'dropped' }
  }
  if (newest === undefined || file === undefined) {
    return { txid: 0n as TXID, checksum: EMPTY_CHECKSUM, ...NOTHING }
  }
  const problem = newestProblem(history)
  return { txid: newest.max, ...file, state: 'live', ...(problem === undefined ? {} : { problem }) }
}

async function describe(
  store: ObjectStore,
  key: string,
  signal: AbortSignal | undefined,
): Promise<Pick<BackupPosition, 'checksum' | 'timestampMs' | 'pageSize' | 'commit' | 'term'>> {
  const metadata = await loadMetadata(store, { key }, signal)
  const { timestampMs, pageSize, commit, postApplyChecksum: checksum, term = 0n } = metadata
  if (timestampMs !== undefined && pageSize !== undefined && commit !== undefined) {
    return { checksum, timestampMs, pageSize, commit, term }
  }
  const header = await readHeader(store, key, signal)
  return {
    checksum,
    timestampMs: boundedTime(header.timestampMs),
    pageSize: header.pageSize,
    commit: header.commit,
    term,
  }
}

function newestProblem(history: BackupHistory): string | undefined {
  try {
    planRestore(history, NEWEST)
    return undefined
  } catch (error) {
    return error instanceof DatabaseDroppedError ? undefined : errorMessage(error)
  }
}
