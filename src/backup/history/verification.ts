import pLimit from 'p-limit'
import { type Checksum, formatChecksum, formatTXID, type TXID } from '../../ltx/format/types.ts'
import { MetadataUnreadableError, ObjectNotFoundError } from '../../objectstore/errors.ts'
import type { ObjectHead, ObjectStore } from '../../objectstore/objectstore.ts'
import { errorMessage } from '../../util/errors.ts'
import { boundedTime } from '../../util/time.ts'
import { adviser, SHIP_SNAPSHOT } from './advice.ts'
import { type Decoded, decoded } from './decoded.ts'
import { BackupGapError, CorruptObjectError, DatabaseDroppedError, MISSING, TargetUnavailableError } from './errors.ts'
import type { Finding } from './finding.ts'
import { type BackupFile, type BackupHistory, filesOfLevel, loadHistory } from './history.ts'
import { MAX_COMPACTION_LEVEL } from './layout.ts'
import { type FileMetadata, parseMetadata } from './metadata.ts'
import { reportingCorruption } from './objects.ts'
import { NEWEST, type Plan, planAround, planRestore } from './plan.ts'
import { PageChecksums } from './replay.ts'

type Found = Omit<Finding, 'advice'> & { readonly advice?: string }

/** How often a plan is made anew because its objects have been removed meanwhile. */
const MAX_PLANS = 8
const HEAD_CONCURRENCY = 16

/** The verification of one database. */
export class Verification {
  readonly #store: ObjectStore
  readonly #signal: AbortSignal | undefined
  readonly #found: Found[] = []
  readonly #metadata = new Map<string, FileMetadata>()
  readonly #damaged = new Set<string>()
  /** The checksum after each transaction, and the object that recorded it first. */
  readonly #checksums = new Map<TXID, { readonly checksum: Checksum; readonly key: string }>()
  /** The newest listing. */
  #history: BackupHistory
  #listed: ReadonlySet<string>
  dropped = false
  /** How many objects have been read. */
  readCount = 0

  constructor(store: ObjectStore, history: BackupHistory, signal: AbortSignal | undefined) {
    this.#store = store
    this.#history = history
    this.#listed = keysOf(history)
    this.#signal = signal
  }

  get history(): BackupHistory {
    return this.#history
  }

  /** The keys of the objects that are not what they should be. */
  get damaged(): ReadonlySet<string> {
    return this.#damaged
  }

  /** `isWhole`: `files` are all, so that what they say can be replayed. */
  async run(files: readonly BackupFile[], isWhole: boolean, done: (bytes: number) => void): Promise<Finding[]> {
    for (const file of files) {
      if (this.#listed.has(file.key)) await this.#verifyFile(file)
      done(file.sizeBytes)
    }
    for (const file of files) this.#joinMetadata(file)
    if (isWhole) for (let level = 0; level <= MAX_COMPACTION_LEVEL; level++) await this.#replayLevel(level)
    await this.#verifyNewest(isWhole)
    const advise = adviser(this.#store.url, this.#history, this.#damaged)
    return this.#found.map((found) => ({ ...found, advice: found.advice ?? advise(found.key) }))
  }

  #error(problem: string, file?: BackupFile): void {
    this.#found.push({ severity: 'error', ...(file && { key: file.key }), problem })
    if (file !== undefined) this.#damaged.add(file.key)
  }

  /** An object that was listed is not there. Removed since by retention it is no finding: a second listing decides. */
  async #missing(file: BackupFile): Promise<void> {
    if (this.#listed.has(file.key)) {
      this.#history = await loadHistory(this.#store, this.#history.database)
      this.#listed = keysOf(this.#history)
    }
    if (!this.#listed.has(file.key) || this.#damaged.has(file.key)) return
    this.#metadata.set(file.key, {})
    this.#error(MISSING, file)
  }

  async #verifyFile(file: BackupFile): Promise<void> {
    const head = await this.#head(file)
    if (head === undefined) return
    const metadata = parseMetadata(head.metadata)
    this.#metadata.set(file.key, metadata)
    try {
      const read = await reportingCorruption(this.#store, [file], () => decoded(this.#store, file, this.#signal))
      this.readCount++
      this.#compare(file, metadata, read)
    } catch (error) {
      this.#signal?.throwIfAborted()
      if (error instanceof ObjectNotFoundError) await this.#missing(file)
      else if (error instanceof CorruptObjectError) this.#error(error.problem, file)
      // The store fails: that says nothing of the object.
      else this.#found.push({ severity: 'error', key: file.key, problem: errorMessage(error), advice: 'Verify again' })
    }
  }

  /** undefined: that is a finding. */
  async #head(file: BackupFile): Promise<ObjectHead | undefined> {
    try {
      const head = await this.#store.head(file.key)
      if (head === undefined) await this.#missing(file)
      return head
    } catch (error) {
      if (!(error instanceof MetadataUnreadableError)) throw error
      this.#metadata.set(file.key, {})
      this.#error(errorMessage(error), file)
      return undefined
    }
  }

  #compare(file: BackupFile, metadata: FileMetadata, read: Decoded): void {
    const { timestampMs, pageSize, commit } = read
    for (const [name, recorded, actual] of [
      ['timestamp', metadata.timestampMs, boundedTime(timestampMs)],
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
  }

  /** Two files must record the same checksum for the same transaction. */
  #joinMetadata(file: BackupFile): void {
    const { preApplyChecksum, postApplyChecksum } = this.#metadata.get(file.key) ?? {}
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
      const { postApplyChecksum: recorded } = this.#metadata.get(file.key) ?? {}
      if (this.#damaged.has(file.key) || !this.#listed.has(file.key)) {
        pages = undefined
        continue
      }
      if (pages === undefined || file.min > current + 1n || this.#begins(file)) pages = await this.#stateBefore(file)
      const wasWhole = pages?.problem() === undefined
      if (pages === undefined || !(await this.#apply(pages, [file]))) {
        pages = undefined
        continue
      }
      current = file.max
      const problem = pages.problem()
      if (wasWhole && problem !== undefined)
        this.#found.push({ severity: 'error', key: file.key, problem, advice: SHIP_SNAPSHOT })
      const actual = pages.checksum()
      if (recorded === undefined || actual === recorded) continue
      this.#error(
        `replaying it gives checksum ${formatChecksum(actual)}, its metadata records ${formatChecksum(recorded)}`,
        file,
      )
      pages = undefined
    }
  }

  /** False where a file is gone, or does not fit the others. */
  async #apply(pages: PageChecksums, files: readonly BackupFile[]): Promise<boolean> {
    try {
      await pages.apply(this.#store, files, this.#signal)
      return true
    } catch (error) {
      const isDamaged = error instanceof CorruptObjectError
      const key = isDamaged || error instanceof ObjectNotFoundError ? error.key : undefined
      const file = files.find((one) => one.key === key)
      if (file === undefined) throw error
      if (isDamaged) this.#error(error.problem, file)
      else await this.#missing(file)
      return false
    }
  }

  /** Whether the file holds every page of a database that begins anew. */
  #begins(file: BackupFile): boolean {
    return file.min === 1n || this.#history.markers.some(({ kind, txid }) => kind === 'reset' && txid === file.min)
  }

  async #stateBefore(file: BackupFile): Promise<PageChecksums | undefined> {
    if (this.#begins(file)) return new PageChecksums()
    for (let attempt = 1; attempt <= MAX_PLANS; attempt++) {
      let plan: Plan | undefined
      try {
        plan = planAround(this.#history, { kind: 'txid', txid: (file.min - 1n) as TXID }, this.#damaged)
      } catch {
        // Retention removed the files it builds on and has yet to remove this one: by itself it restores nothing.
        return undefined
      }
      if (plan === undefined) return undefined
      const pages = new PageChecksums()
      if (await this.#apply(pages, plan)) return pages
    }
    return undefined
  }

  async #verifyNewest(isWhole: boolean): Promise<void> {
    try {
      const plan = await this.#newestPlan(isWhole)
      if (isWhole) await this.#replayNewest()
      const damaged = plan.filter(({ key }) => this.#damaged.has(key))
      if (damaged.length > 0 && planAround(this.#history, NEWEST, this.#damaged) === undefined)
        this.#error(
          `the newest state cannot be restored: it needs the damaged ${damaged.map(({ key }) => key).join(', ')}`,
        )
      const last = plan.at(-1)
      if (last !== undefined && this.#metadata.get(last.key)?.postApplyChecksum === undefined) {
        const problem =
          'no checksum is recorded for the newest state (written by Litestream): it is complete, but not proven correct'
        const advice = 'A snapshot of a running ltxd records one'
        this.#found.push({ severity: 'warning', problem, advice })
      }
    } catch (error) {
      this.dropped = error instanceof DatabaseDroppedError
      if (this.dropped) return
      if (!(error instanceof BackupGapError || error instanceof TargetUnavailableError)) throw error
      this.#found.push({ severity: 'error', problem: errorMessage(error), advice: SHIP_SNAPSHOT })
    }
  }

  /** As a restore does it. */
  async #replayNewest(): Promise<void> {
    const plan = planAround(this.#history, NEWEST, this.#damaged)
    const pages = new PageChecksums()
    if (plan === undefined || !(await this.#apply(pages, plan))) return
    const gap = pages.problem()
    const problem = `the newest state cannot be restored: ${gap}`
    if (gap !== undefined) this.#found.push({ severity: 'error', problem, advice: SHIP_SNAPSHOT })
  }

  /** The plan for the newest state, whose files have all been read or, of a part, looked up. */
  async #newestPlan(isWhole: boolean): Promise<Plan> {
    for (let attempt = 1; ; attempt++) {
      const plan = planRestore(this.#history, NEWEST)
      const unseen = plan.filter(({ key }) => !this.#metadata.has(key))
      if (unseen.length === 0 || attempt > MAX_PLANS) return plan
      if (isWhole) for (const file of unseen) await this.#verifyFile(file)
      else await pLimit(HEAD_CONCURRENCY).map(unseen, (file) => this.#lookUp(file))
    }
  }

  async #lookUp(file: BackupFile): Promise<void> {
    const head = await this.#head(file)
    if (head === undefined) return
    this.#metadata.set(file.key, parseMetadata(head.metadata))
    if (head.sizeBytes !== file.sizeBytes)
      this.#error(`it has ${head.sizeBytes} bytes, the listing says ${file.sizeBytes}`, file)
  }
}

function keysOf({ files }: BackupHistory): ReadonlySet<string> {
  return new Set(files.map(({ key }) => key))
}
