import { openInput } from '../backup/objects.ts'
import {
  compareTXID,
  filesOfLevel,
  loadHistory,
  loadMetadata,
  newestFile,
  type BackupFile,
  type BackupHistory,
} from '../backup/history.ts'
import { SNAPSHOT_LEVEL } from '../backup/layout.ts'
import { checksumInBackup } from '../backup/reconcile.ts'
import { NEWEST, planRestore } from '../backup/plan.ts'
import { restoreDatabase, type RestoreOptions, type RestoreResult } from '../backup/restore.ts'
import { BackupGapError, DatabaseDroppedError } from '../backup/errors.ts'
import { formatChecksum, formatTXID, type Checksum, type Position, type TXID } from '../ltx/types.ts'
import type { ObjectStore } from '../objectstore/objectstore.ts'

/** One file of the backup that continues the followed database. */
export interface Step {
  readonly file: BackupFile
  readonly preApplyChecksum: Checksum | undefined
  readonly postApplyChecksum: Checksum | undefined
  readonly timestampMs: number
}

/**
 * What a database that is at some position has to do to be where the backup is. `replace`: its history does not go on to
 * there in the backup; only a restore leads on. `dropped`: the database is no more.
 */
export type Next =
  | { readonly kind: 'current' }
  | { readonly kind: 'apply'; readonly files: readonly BackupFile[] }
  | { readonly kind: 'replace'; readonly reason: string }
  | { readonly kind: 'dropped'; readonly txid: TXID }

/** The backup of one database, looked at again and again. */
export class BackupSource {
  readonly store: ObjectStore
  readonly database: string
  /** The newest file, once its checksum was found to be that of the followed database. */
  #agreed: string | undefined

  constructor(store: ObjectStore, database: string) {
    this.store = store
    this.database = database
  }

  restore(outPath: string, options: RestoreOptions): Promise<RestoreResult> {
    this.#agreed = undefined
    return restoreDatabase(this.store, this.database, NEWEST, outPath, options)
  }

  /** Lists the backup. `checksumAt` tells what the followed database once was. Throws BackupGapError where nothing leads on yet. */
  async next(position: Position, checksumAt: (txid: bigint) => Checksum | undefined): Promise<Next> {
    const history = await loadHistory(this.store, this.database)
    const next = planNext(history, position.txid)
    if (next.kind !== 'current') return next
    const newest = newestFile(history.files)
    if (newest === undefined || newest.key === this.#agreed) return next
    const theirs = await checksumInBackup(this.store, history, newest.max)
    const ours = newest.max === position.txid ? position.checksum : checksumAt(newest.max)
    if (theirs !== undefined && ours !== undefined && theirs !== ours) {
      return { kind: 'replace', reason: differ(newest.max, theirs, ours) }
    }
    this.#agreed = newest.key
    return next
  }

  /** What the backup tells of a file besides its bytes. */
  async describe(file: BackupFile): Promise<Step> {
    const { preApplyChecksum, postApplyChecksum, timestampMs } = await loadMetadata(this.store, file)
    return { file, preApplyChecksum, postApplyChecksum, timestampMs: timestampMs ?? file.timestampMs }
  }

  /** Throws ObjectNotFoundError, CorruptObjectError. */
  async open(file: BackupFile, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    return openInput(this.store, file, signal).open()
  }
}

/** Pure: from names alone, with the planner of restores, for which what the database has is a snapshot. */
export function planNext(history: BackupHistory, at: TXID): Next {
  const reset = history.markers.find(({ kind, txid }) => kind === 'reset' && txid > at)
  const snapshot = filesOfLevel(history, SNAPSHOT_LEVEL).reduce((max, file) => (file.max > max ? file.max : max), 0n)
  if (reset !== undefined && snapshot >= reset.txid) {
    const reason = `with transaction ${formatTXID(reset.txid)} the database began anew, or got another page size`
    return { kind: 'replace', reason }
  }
  const have: BackupFile = { level: SNAPSHOT_LEVEL, min: 1n as TXID, max: at, key: '', sizeBytes: 0, timestampMs: 0 }
  const rest = history.files.filter((file) => file.level !== SNAPSHOT_LEVEL && file.max > at)
  try {
    const [, ...files] = planRestore({ ...history, files: [have, ...rest] }, NEWEST)
    if (files.length > 0) return { kind: 'apply', files }
  } catch (error) {
    if (error instanceof DatabaseDroppedError) {
      return error.droppedAt > at ? { kind: 'dropped', txid: error.droppedAt } : { kind: 'current' }
    }
    if (!(error instanceof BackupGapError) || snapshot <= at) throw error
    const missing = `${formatTXID((error.reached + 1n) as TXID)} to ${formatTXID((error.next - 1n) as TXID)}`
    return { kind: 'replace', reason: `the backup no longer holds transactions ${missing} by themselves` }
  }
  if (compareTXID(snapshot as TXID, at) > 0) {
    const reason = `the backup holds what came after ${formatTXID(at)} only in the snapshot of ${formatTXID(snapshot as TXID)}`
    return { kind: 'replace', reason }
  }
  return { kind: 'current' }
}

function differ(txid: TXID, theirs: Checksum, ours: Checksum): string {
  return `after transaction ${formatTXID(txid)} the backup has checksum ${formatChecksum(theirs)}, the file had ${formatChecksum(ours)}`
}
