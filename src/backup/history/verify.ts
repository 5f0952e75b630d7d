import type { TXID } from '../../ltx/format/types.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { NothingToVerifyError } from './errors.ts'
import type { Finding } from './finding.ts'
import { type BackupFile, type BackupHistory, loadHistories, requireHistory } from './history.ts'
import { restorableRange } from './plan.ts'
import { Verification } from './verification.ts'

export interface DatabaseReport {
  readonly database: string
  readonly fileCount: number
  /** How many of the files were read. */
  readonly readCount: number
  readonly sizeBytes: number
  readonly restorable: { readonly first: TXID; readonly last: TXID } | undefined
  readonly dropped: boolean
  readonly findings: readonly Finding[]
}

export interface VerifyOptions {
  /** Only this database; otherwise all of them. */
  readonly database?: string
  /** Reads only this many objects of each database, chosen at random. */
  readonly sample?: number
  /** Reads only objects that were stored since. */
  readonly sinceMs?: number
  readonly random?: () => number
  readonly progress?: (doneBytes: number, totalBytes: number) => void
  readonly signal?: AbortSignal
}

/**
 * Reads a whole backup and checks that every object decodes, that keys and headers agree, that the checksums in the
 * metadata join into one history over all levels, that replaying each level gives exactly those checksums, and that
 * the newest state can be restored. With `sample` or `sinceMs` the other objects are not read, only those that the
 * newest state needs are looked up, and nothing is replayed. What retention removes meanwhile is no finding. Throws
 * NoBackupError, NothingToVerifyError. Everything else it finds is in the report.
 */
export async function verifyBackup(store: ObjectStore, options: VerifyOptions = {}): Promise<DatabaseReport[]> {
  const histories = await historiesOf(store, options.database)
  const selections = histories.map((history) => ({ history, files: selected(history.files, options) }))
  const sizeOf = (files: readonly BackupFile[]) => files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const totalBytes = selections.reduce((sum, { files }) => sum + sizeOf(files), 0)
  const reports: DatabaseReport[] = []
  let doneBytes = 0
  for (const { history, files } of selections) {
    const verification = new Verification(store, history, options.signal)
    const isWhole = options.sample === undefined && options.sinceMs === undefined
    const findings = await verification.run(files, isWhole, (bytes) =>
      options.progress?.((doneBytes += bytes), totalBytes),
    )
    reports.push({
      database: history.database,
      fileCount: history.files.length,
      readCount: verification.readCount,
      sizeBytes: sizeOf(history.files),
      restorable: restorableRange(verification.history),
      dropped: verification.dropped,
      findings,
    })
  }
  return reports
}

async function historiesOf(store: ObjectStore, database: string | undefined): Promise<BackupHistory[]> {
  if (database !== undefined) return [await requireHistory(store, database)]
  const histories = [...(await loadHistories(store)).values()]
  if (histories.length === 0) throw new NothingToVerifyError(store.url)
  return histories
}

function selected(
  files: readonly BackupFile[],
  { sample, sinceMs = 0, random = Math.random }: VerifyOptions,
): readonly BackupFile[] {
  const young = files.filter(({ storedMs, timestampMs }) => (storedMs ?? timestampMs) >= sinceMs)
  if (sample === undefined || sample >= young.length) return young
  // The first steps of a shuffle.
  for (let at = 0; at < sample; at++) {
    const other = at + Math.floor(random() * (young.length - at))
    ;[young[at], young[other]] = [young[other]!, young[at]!]
  }
  return young.slice(0, sample)
}
