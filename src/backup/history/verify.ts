import { Decoder } from '../../ltx/codec/decoder.ts'
import { foldChecksum, pageChecksum } from '../../ltx/format/checksum.ts'
import { type Checksum, EMPTY_CHECKSUM, formatChecksum, formatTXID, type TXID } from '../../ltx/format/types.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { errorMessage } from '../../util/errors.ts'
import { DatabaseDroppedError } from './errors.ts'
import { type BackupFile, type BackupHistory, filesOfLevel, loadHistories, requireHistory } from './history.ts'
import { MAX_COMPACTION_LEVEL } from './layout.ts'
import { type FileMetadata, parseMetadata } from './metadata.ts'
import { openInput, reportingCorruption } from './objects.ts'
import { NEWEST, type Plan, planRestore, restorableRange } from './plan.ts'
import { PageChecksums } from './replay.ts'

/** error: something cannot be restored, or is not what it claims. warning: it cannot be proven. */
export interface Finding {
  readonly severity: 'error' | 'warning'
  /** The object concerned; absent when the finding concerns the whole backup. */
  readonly key?: string
  readonly problem: string
}

export interface DatabaseReport {
  readonly database: string
  readonly fileCount: number
  readonly sizeBytes: number
  readonly restorable: { readonly first: TXID; readonly last: TXID } | undefined
  readonly dropped: boolean
  readonly findings: readonly Finding[]
}

export interface VerifyOptions {
  /** Only this database; otherwise all of them. */
  readonly database?: string
  readonly progress?: (doneBytes: number, totalBytes: number) => void
  readonly signal?: AbortSignal
}

/**
 * Reads a whole backup and checks that every object decodes, that keys and headers agree, that the checksums in the
 * metadata join into one history over all levels, that replaying each level gives exactly those checksums, and that
 * the newest state can be restored. Throws NoBackupError. Everything else it finds is in the report.
 */
export async function verifyBackup(store: ObjectStore, options: VerifyOptions = {}): Promise<DatabaseReport[]> {
  const histories = await historiesOf(store, options.database)
  const sizeOf = ({ files }: BackupHistory) => files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const totalBytes = histories.reduce((sum, history) => sum + sizeOf(history), 0)
  const reports: DatabaseReport[] = []
  let doneBytes = 0
  for (const history of histories) {
    const verification = new Verification(store, history, options.signal)
    const findings = await verification.run((bytes) => options.progress?.((doneBytes += bytes), totalBytes))
    reports.push({
      database: history.database,
      fileCount: history.files.length,
      sizeBytes: sizeOf(history),
      restorable: restorableRange(history),
      dropped: verification.dropped,
      findings,
    })
  }
  return reports
}

async function historiesOf(store: ObjectStore, database: string | undefined): Promise<BackupHistory[]> {
  if (database === undefined) return [...(await loadHistories(store)).values()]
  return [await requireHistory(store, database)]
}

class Verification {
  readonly #store: ObjectStore
  readonly #history: BackupHistory
  readonly #signal: AbortSignal | undefined
  readonly #findings: Finding[] = []
  readonly #metadata = new Map<BackupFile, FileMetadata>()
  readonly #damaged = new Set<BackupFile>()
  /** The checksum after each transaction, and the object that recorded it first. */
  readonly #checksums = new Map<TXID, { readonly checksum: Checksum; readonly key: string }>()
  dropped = false

  constructor(store: ObjectStore, history: BackupHistory, signal: AbortSignal | undefined) {
    this.#store = store
    this.#history = history
    this.#signal = signal
  }

  async run(done: (bytes: number) => void): Promise<Finding[]> {
    for (const file of this.#history.files) {
      await this.#verifyFile(file)
      done(file.sizeBytes)
    }
    for (const file of this.#history.files) this.#joinMetadata(file)
    for (let level = 0; level <= MAX_COMPACTION_LEVEL; level++) await this.#replayLevel(level)
    this.#verifyNewest()
    return this.#findings
  }

  #error(problem: string, file?: BackupFile): void {
    this.#findings.push({ severity: 'error', ...(file && { key: file.key }), problem })
    if (file !== undefined) this.#damaged.add(file)
  }

  async #verifyFile(file: BackupFile): Promise<void> {
    const head = await this.#store.head(file.key)
    if (head === undefined) return this.#error('it disappeared while the backup was being read', file)
    const metadata = parseMetadata(head.metadata)
    this.#metadata.set(file, metadata)
    try {
      const read = await reportingCorruption(this.#store, [file], () => this.#decode(file))
      const { timestampMs, pageSize, commit } = read
      for (const [name, recorded, actual] of [
        ['timestamp', metadata.timestampMs, timestampMs],
        ['page size', metadata.pageSize, pageSize],
        ['commit', metadata.commit, commit],
      ] as const) {
        if (recorded !== undefined && recorded !== actual)
          this.#error(`its metadata records ${name} ${recorded}, its header ${actual}`, file)
      }
      const { postApplyChecksum: recorded } = metadata
      if (read.checksum !== undefined && recorded !== undefined && read.checksum !== recorded) {
        this.#error(
          `its pages have checksum ${formatChecksum(read.checksum)}, its metadata records ${formatChecksum(recorded)}`,
          file,
        )
      }
    } catch (error) {
      this.#signal?.throwIfAborted()
      this.#error(errorMessage(error), file)
    }
  }

  /** Computes the checksum only of a file that holds every page. */
  async #decode(
    file: BackupFile,
  ): Promise<{ timestampMs: number; pageSize: number; commit: number; checksum?: Checksum }> {
    const decoder = new Decoder()
    let checksum: Checksum = EMPTY_CHECKSUM
    for await (const chunk of await openInput(this.#store, file, this.#signal).open()) {
      decoder.push(chunk)
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
        if (file.min === 1n) checksum = foldChecksum(checksum, pageChecksum(frame.pgno, frame.page()))
      }
    }
    decoder.end()
    if (decoder.header === undefined) throw new Error('a decoded file has no header')
    const { timestampMs, pageSize, commit } = decoder.header
    return { timestampMs, pageSize, commit, ...(file.min === 1n && { checksum }) }
  }

  /** Two files must record the same checksum for the same transaction. */
  #joinMetadata(file: BackupFile): void {
    const { preApplyChecksum, postApplyChecksum } = this.#metadata.get(file) ?? {}
    for (const [txid, checksum] of [
      [(file.min - 1n) as TXID, preApplyChecksum],
      [file.max, postApplyChecksum],
    ] as const) {
      if (checksum === undefined) continue
      const other = this.#checksums.get(txid)
      if (other === undefined) this.#checksums.set(txid, { checksum, key: file.key })
      else if (other.checksum !== checksum) {
        const [ours, theirs] = [checksum, other.checksum].map(formatChecksum)
        this.#error(
          `its metadata records checksum ${ours} after transaction ${formatTXID(txid)}, ${other.key} records ${theirs}`,
          file,
        )
      }
    }
  }

  /** Applies the level's files one after another to the state before them, and compares the checksum after each. */
  async #replayLevel(level: number): Promise<void> {
    let pages: PageChecksums | undefined
    let current = 0n as TXID
    for (const file of filesOfLevel(this.#history, level)) {
      const { postApplyChecksum: recorded } = this.#metadata.get(file) ?? {}
      if (this.#damaged.has(file) || recorded === undefined) {
        pages = undefined
        continue
      }
      if (pages === undefined || file.min > current + 1n || this.#begins(file)) pages = await this.#stateBefore(file)
      if (pages === undefined) continue
      await pages.apply(this.#store, [file], this.#signal)
      current = file.max
      const actual = pages.checksum()
      if (actual === recorded) continue
      this.#error(
        `replaying it gives checksum ${formatChecksum(actual)}, its metadata records ${formatChecksum(recorded)}`,
        file,
      )
      pages = undefined
    }
  }

  /** Whether the file holds every page of a database that begins anew. */
  #begins(file: BackupFile): boolean {
    return file.min === 1n || this.#history.markers.some(({ kind, txid }) => kind === 'reset' && txid === file.min)
  }

  async #stateBefore(file: BackupFile): Promise<PageChecksums | undefined> {
    const pages = new PageChecksums()
    if (this.#begins(file)) return pages
    let plan: Plan
    try {
      plan = planRestore(this.#history, { kind: 'txid', txid: (file.min - 1n) as TXID })
    } catch {
      // Retention removed the files it builds on and has yet to remove this one: by itself it restores nothing.
      return undefined
    }
    if (plan.some((other) => this.#damaged.has(other))) return undefined
    await pages.apply(this.#store, plan, this.#signal)
    return pages
  }

  #verifyNewest(): void {
    try {
      const plan = planRestore(this.#history, NEWEST)
      const damaged = plan.filter((file) => this.#damaged.has(file))
      if (damaged.length > 0)
        this.#error(
          `the newest state cannot be restored: it needs the damaged ${damaged.map(({ key }) => key).join(', ')}`,
        )
      const last = plan.at(-1)
      if (last !== undefined && this.#metadata.get(last)?.postApplyChecksum === undefined) {
        const problem =
          'no checksum is recorded for the newest state (written by Litestream): it is complete, but not proven correct'
        this.#findings.push({ severity: 'warning', problem })
      }
    } catch (error) {
      this.dropped = error instanceof DatabaseDroppedError
      if (!this.dropped) this.#error(errorMessage(error))
    }
  }
}
