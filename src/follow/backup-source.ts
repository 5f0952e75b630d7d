import { type BackupFile, loadHistory, loadMetadata, newestFile } from '../backup/history/history.ts'
import { type Next, planNextAround } from '../backup/history/next.ts'
import { openInput } from '../backup/history/objects.ts'
import { NEWEST } from '../backup/history/plan.ts'
import { restoreDatabase, type RestoreOptions, type RestoreResult } from '../backup/restore/restore.ts'
import { checksumInBackup } from '../backup/ship/reconcile.ts'
import { type Checksum, formatChecksum, formatTXID, type Position, type TXID } from '../ltx/format/types.ts'
import type { ObjectStore } from '../objectstore/objectstore.ts'

/** One file of the backup that continues the followed database. */
export interface Step {
  readonly file: BackupFile
  readonly preApplyChecksum: Checksum | undefined
  readonly postApplyChecksum: Checksum | undefined
  readonly timestampMs: number
}

/** The backup of one database, read again at each pass. */
export class BackupSource {
  readonly store: ObjectStore
  readonly database: string
  /** The key of the newest file whose checksum equals the followed database's. */
  #verified: string | undefined

  constructor(store: ObjectStore, database: string) {
    this.store = store
    this.database = database
  }

  restore(outPath: string, options: RestoreOptions): Promise<RestoreResult> {
    this.#verified = undefined
    return restoreDatabase(this.store, this.database, NEWEST, outPath, options)
  }

  /**
   * Lists the backup and plans the next files, around those under the keys `avoid`; undefined where nothing leads round
   * them. `checksumAt` returns the followed database's past checksums. Throws BackupGapError while no file continues
   * the position.
   */
  async next(
    position: Position,
    checksumAt: (txid: bigint) => Checksum | undefined,
    avoid: ReadonlySet<string>,
  ): Promise<Next | undefined> {
    const history = await loadHistory(this.store, this.database)
    const next = planNextAround(history, position.txid, avoid)
    if (next === undefined) return undefined
    if (next.kind !== 'current') return next
    const newest = newestFile(history.files)
    if (newest === undefined || newest.key === this.#verified) return next
    const theirs = await checksumInBackup(this.store, history, newest.max)
    const ours = newest.max === position.txid ? position.checksum : checksumAt(newest.max)
    if (theirs !== undefined && ours !== undefined && theirs !== ours) {
      return { kind: 'replace', reason: differ(newest.max, theirs, ours) }
    }
    this.#verified = newest.key
    return next
  }

  /** A file's metadata in the backup. */
  async describe(file: BackupFile): Promise<Step> {
    const { preApplyChecksum, postApplyChecksum, timestampMs } = await loadMetadata(this.store, file)
    return { file, preApplyChecksum, postApplyChecksum, timestampMs: timestampMs ?? file.timestampMs }
  }

  /** Throws ObjectNotFoundError, CorruptObjectError. */
  async open(file: BackupFile, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    return openInput(this.store, file, signal).open()
  }
}

function differ(txid: TXID, theirs: Checksum, ours: Checksum): string {
  const at = `after transaction ${formatTXID(txid)}`
  return `${at} the backup has checksum ${formatChecksum(theirs)}, the file had ${formatChecksum(ours)}`
}
