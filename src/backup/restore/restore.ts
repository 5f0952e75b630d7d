import type { Stats } from 'node:fs'
import type { DatabaseOwner } from '../../data/database-owner.ts'
import { OutputFile } from '../../image/output-file.ts'
import { foldChecksum, pageChecksum } from '../../ltx/format/checksum.ts'
import type { Header } from '../../ltx/format/header.ts'
import { type Checksum, EMPTY_CHECKSUM, formatChecksum, lockPgno, type TXID } from '../../ltx/format/types.ts'
import { mergePages } from '../../ltx/merge/merge.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { PageWriter } from '../../sqlite/page-writer.ts'
import { ChecksumMismatchError, CorruptObjectError, DatabaseDroppedError } from '../history/errors.ts'
import { type BackupFile, type BackupHistory, loadMetadata } from '../history/history.ts'
import { openInput, reportingCorruption } from '../history/objects.ts'
import { formatTarget, type Plan, type Target } from '../history/plan.ts'
import { StatePages } from '../history/state-pages.ts'
import { type Avoided, readAround } from './way-round.ts'

export interface RestoreOptions {
  /** Called now and then. Pages may be written more than once, so `done` can decrease. */
  readonly progress?: (done: number, total: number) => void
  readonly signal?: AbortSignal
  /** How many objects are read at once. A longer plan is applied in parts. Default: 128. */
  readonly maxInputs?: number
  /** The listing, where the caller has a fresh one. */
  readonly history?: BackupHistory
  /** Called with the file that has appeared. */
  readonly published?: (file: Stats) => void
}

export interface RestoreResult {
  readonly txid: TXID
  /** The checksum of the restored pages. Where the backup records one, the two are equal. */
  readonly checksum: Checksum
  /** Whether the backup records a checksum. */
  readonly verified: boolean
  readonly pageSize: number
  readonly commit: number
  /** The time of the last transaction. */
  readonly timestampMs: number
  /** The owner that the backup records. The restored file is of this process's user, and has mode 0600. */
  readonly owner?: DatabaseOwner
  readonly files: Plan
  /** The objects that the plan had to do without. The restored state is the same as with them. */
  readonly avoided: readonly Avoided[]
  /** Why this may not be the state of the moment asked for, and what to do: a clock was wrong. */
  readonly doubt?: string
}

const DEFAULT_MAX_INPUTS = 128
const PROGRESS_PAGES = 1024

/**
 * Writes a database as of a target to `outPath`, which must not exist. Nor may a -wal or -journal that SQLite would
 * take for the new file's. The file appears when it is complete, verified and durable. After an error nothing is
 * left. Where an object of the plan is damaged or missing, other objects that hold the same transactions are used.
 *
 * Throws NoBackupError, TargetUnavailableError, BackupGapError, DatabaseDroppedError, CorruptObjectError,
 * ChecksumMismatchError, OutputExistsError, OutputError.
 */
export async function restoreDatabase(
  store: ObjectStore,
  database: string,
  target: Target,
  outPath: string,
  options: RestoreOptions = {},
): Promise<RestoreResult> {
  const output = await OutputFile.create(outPath)
  try {
    const { history, signal } = options
    const source = { store, database, target, history, signal }
    const { result, ...reading } = await readAround(source, (plan) => writePlan(store, plan, output, options))
    await output.publish()
    options.published?.(await output.stat())
    return { ...result, ...reading }
  } finally {
    await output.discard()
  }
}

async function writePlan(
  store: ObjectStore,
  plan: Plan,
  output: OutputFile,
  options: RestoreOptions,
): Promise<Omit<RestoreResult, 'avoided'>> {
  const last = plan.at(-1) ?? plan[0]
  const { postApplyChecksum: expected, owner } = await loadMetadata(store, last)
  const pages = new StatePages()
  let header: Header | undefined
  let checksum: Checksum = EMPTY_CHECKSUM
  const maxInputs = options.maxInputs ?? DEFAULT_MAX_INPUTS
  await output.truncate(0)
  for (let at = 0; at < plan.length; at += maxInputs) {
    const part = plan.slice(at, at + maxInputs)
    const written = await writePart(store, part, output, pages, options)
    header = written.header
    checksum = written.checksum
    await output.truncate(header.commit * header.pageSize)
  }
  if (header === undefined) throw new Error('a plan is never empty')
  const { pageSize, commit, maxTXID: txid, timestampMs } = header
  if (commit === 0) throw new DatabaseDroppedError(output.path, txid, timestampMs)
  const problem = pages.problem()
  if (problem !== undefined) throw new CorruptObjectError(store.url, last.key, problem, { conclusive: false })
  if (plan.length > maxInputs) checksum = await output.checksum(pageSize, commit)
  if (expected !== undefined && expected !== checksum) {
    const of = `${plan.length} files of ${store.url}`
    const what = `database as of ${formatTarget({ kind: 'txid', txid })}, restored from ${of},`
    throw new ChecksumMismatchError(what, formatChecksum(expected), formatChecksum(checksum))
  }
  const verified = expected !== undefined
  return { txid, checksum, verified, pageSize, commit, timestampMs, ...(owner && { owner }), files: plan }
}

/** Returns the checksum of the pages written, which is the database's only if there was one part. */
async function writePart(
  store: ObjectStore,
  files: readonly BackupFile[],
  output: OutputFile,
  pages: StatePages,
  { progress, signal }: RestoreOptions,
): Promise<{ header: Header; checksum: Checksum }> {
  const inputs = files.map((file) => openInput(store, file, signal))
  const merge = mergePages(inputs, signal === undefined ? {} : { signal })
  return reportingCorruption(store, files, async () => {
    try {
      await merge.open()
      const header = merge.last
      pages.begin(header, merge.nameOf(0))
      const writer = new PageWriter(output, header.pageSize)
      let checksum: Checksum = EMPTY_CHECKSUM
      let done = 0
      while (!merge.ended) {
        for (let frame = merge.next(); frame !== undefined; frame = merge.next()) {
          const { pgno } = frame
          const page = frame.page()
          checksum = foldChecksum(checksum, pageChecksum(pgno, page))
          pages.add(pgno)
          const full = writer.write(pgno, page)
          if (full !== undefined) await full
          if (++done % PROGRESS_PAGES === 0) progress?.(done, header.commit)
        }
        if (!merge.ended) await merge.fill()
      }
      await writer.flush()
      progress?.(done, Math.max(done, pagesOf(header)))
      return { header, checksum }
    } finally {
      await merge.close()
    }
  })
}

function pagesOf({ commit, pageSize }: Header): number {
  return commit < lockPgno(pageSize) ? commit : commit - 1
}
