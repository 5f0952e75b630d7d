import fs from 'node:fs'
import { exchange, PageTable } from '../capture/pages.ts'
import { pageChecksum } from '../ltx/checksum.ts'
import { EMPTY_CHECKSUM, lockPgno, nextTXID, toTXID, type Checksum, type Pgno, type Position } from '../ltx/types.ts'
import { parseDatabaseHeader } from '../sqlite/database-header.ts'
import { pagesOf } from '../sqlite/locks.ts'
import { takeBatch } from './batch.ts'
import { DatabaseFile } from './database-file.ts'
import {
  ApplyBlockedError,
  ApplyDivergedError,
  ApplyGapError,
  ApplyInvalidError,
  NotDatabaseError,
  UnknownStateError,
} from './errors.ts'
import { hasJournal, rollBack, writeInPlace, type Size } from './journal-file.ts'
import { POSITIONS_KEPT, type Positions } from './positions.ts'
import { Transaction, type LtxBytes, type PageChanges } from './transaction.ts'
import { Wal, type CheckpointResult } from './wal.ts'

export interface ApplierOptions {
  readonly positions: Positions
  /** What was applied survives a power loss on return. Otherwise a power loss may take the newest back, as SQLite's synchronous=NORMAL. */
  readonly durable?: boolean
  /** A checkpoint is tried whenever the WAL has grown by so many frames. 1000, as SQLite's. */
  readonly checkpointFrames?: number
  /** A WAL that a reader keeps from beginning anew grows to this and no further: then the database lags. 1 GiB. */
  readonly maxWalBytes?: number
  /** How long readers in rollback mode are waited for at a time. */
  readonly busyMs?: number
  /** A database in a state that no position tells of is opened all the same, at transaction 0: only `replace` leads on from there. */
  readonly acceptUnknown?: boolean
}

export interface ApplyOptions {
  /** Checksum of the database afterwards, where the file itself holds none. */
  readonly postApplyChecksum?: Checksum | undefined
  /** And before. */
  readonly preApplyChecksum?: Checksum | undefined
  /** Hears where the database is about to be, when everything has been verified and nothing written yet. */
  readonly before?: (position: Position) => void
}

export interface ApplyResult {
  readonly position: Position
  /** False when the database had these transactions already. */
  readonly applied: boolean
  readonly pages: number
}

export interface ApplierStatus {
  readonly journalMode: 'wal' | 'rollback'
  readonly walFrames: number
  readonly walBytes: number
}

const DEFAULTS = {
  durable: false,
  checkpointFrames: 1000,
  maxWalBytes: 2 ** 30,
  busyMs: 50,
  acceptUnknown: false,
} as const

/**
 * Applies LTX transactions to a SQLite database that others read with stock SQLite, under SQLite's own locks. It is the
 * database's only writer for as long as it is open: no application gets a write lock, readers are not hindered.
 *
 * There must be no SQLite connection to the file in the same process: see RangeLocks.
 */
export class Applier {
  readonly path: string
  readonly #options: Required<ApplierOptions>
  readonly #file: DatabaseFile
  #pages = new PageTable()
  #pageSize = 0
  #checksum: Checksum = EMPTY_CHECKSUM
  #position: Position = { txid: toTXID(0), checksum: EMPTY_CHECKSUM }
  #wal: Wal | undefined
  /** What page 1 says, which is what SQLite goes by once it has closed the WAL. */
  #declaredMode: 'wal' | 'rollback' = 'rollback'
  #nextCheckpointAt = 0
  #sinceSync = 0
  #broken: Error | undefined

  /**
   * Opens a database file, or begins an empty one. Recovers it as SQLite would, reads all of it, and finds its position by
   * its checksum. Throws ApplyBlockedError, UnknownStateError, NotDatabaseError.
   */
  static open(path: string, options: ApplierOptions): Applier {
    const file = DatabaseFile.open(path)
    try {
      return new Applier(file, { ...DEFAULTS, ...options })
    } catch (error) {
      file.close()
      throw error
    }
  }

  private constructor(file: DatabaseFile, options: Required<ApplierOptions>) {
    this.path = file.path
    this.#file = file
    this.#options = options
    if (hasJournal(file)) this.#whileExclusive(() => rollBack(file))
    try {
      this.#load()
    } catch (error) {
      this.#wal?.close()
      throw error
    }
  }

  get position(): Position {
    return this.#position
  }

  /** 0 while the database is empty. */
  get pageSize(): number {
    return this.#pageSize
  }

  get journalMode(): 'wal' | 'rollback' {
    return this.#wal === undefined ? 'rollback' : 'wal'
  }

  get status(): ApplierStatus {
    return {
      journalMode: this.journalMode,
      walFrames: this.#wal?.frames ?? 0,
      walBytes: this.#wal?.sizeBytes ?? 0,
    }
  }

  /**
   * Applies one LTX file: a transaction, a compacted range, or a snapshot. Everything about it is verified before anything
   * is written, and every reader sees all of it or nothing. What the database has already is passed over.
   *
   * Throws LTXError and ApplyGapError, ApplyDivergedError, ApplyInvalidError (nothing was changed, nor will be by trying
   * again), and ApplyBlockedError (try again).
   */
  apply(bytes: LtxBytes, options: ApplyOptions = {}): ApplyResult {
    if (this.#broken !== undefined) throw this.#broken
    return this.#applyOne(new Transaction(bytes), options)
  }

  #applyOne(transaction: Transaction, options: ApplyOptions): ApplyResult {
    const position = this.#positionAfter(transaction, options)
    if (position === undefined) return { position: this.#position, applied: false, pages: 0 }
    options.before?.(position)
    if (this.#isUnchanged(transaction)) this.#note(position)
    else this.#write(transaction, position)
    this.#position = position
    this.#checksum = position.checksum
    if (transaction.header.commit > 0) this.#checkpointIfDue()
    return { position, applied: true, pages: transaction.pgnos.length }
  }

  /** Where the transaction leads to; undefined when the database has it already. Throws when it does not lead on from here. */
  #positionAfter(transaction: Transaction, options: ApplyOptions): Position | undefined {
    const { maxTXID } = transaction.header
    if (maxTXID <= this.#position.txid) return undefined
    this.#assertContinues(transaction, options)
    const position = { txid: maxTXID, checksum: this.#checksumAfter(transaction) }
    const expected = transaction.postApplyChecksum ?? options.postApplyChecksum
    if (expected !== undefined && expected !== position.checksum) {
      throw new ApplyDivergedError(this.path, `after transaction ${maxTXID}`, expected, position.checksum)
    }
    return position
  }

  /**
   * Applies transactions that follow one another, as many of them as go in one write; readers see them all at once. Returns how many
   * those were: at least one. `before` hears all positions that they lead to, in order.
   *
   * Throws what `apply` does, and only because of the first.
   */
  applyAll(
    files: readonly [LtxBytes, ...LtxBytes[]],
    before?: (positions: readonly Position[]) => void,
  ): ApplyResult & { readonly count: number } {
    if (this.#broken !== undefined) throw this.#broken
    const [firstFile, ...rest] = files
    const first = new Transaction(firstFile)
    const batch = this.#placed(takeBatch(first, rest, (transaction) => this.#goesWithOthers(transaction)))
    const last = batch.at(-1)
    if (last === undefined) {
      return { ...this.#applyOne(first, { before: (position) => before?.([position]) }), count: 1 }
    }
    this.#breaking(() => before?.(batch.map(({ position }) => position)))
    for (const { position } of batch) this.#note(position)
    this.#appendFrames(batch.map(({ transaction }) => transaction))
    this.#checkpointIfDue()
    const pages = batch.reduce((sum, { transaction }) => sum + transaction.pgnos.length, 0)
    return { position: last.position, applied: true, pages, count: batch.length }
  }

  /** Nothing but frames come of it. */
  #goesWithOthers(transaction: Transaction): boolean {
    const { header, pgnos } = transaction
    if (!this.#fitsWal(transaction) || this.#declaredMode !== 'wal' || pgnos.length === 0) return false
    if (header.commit < this.#pages.sizePages) return false
    const firstPage = transaction.firstPage()
    return firstPage === undefined || parseDatabaseHeader(firstPage)?.journalMode === 'wal'
  }

  /** Those of them that follow one another and leave the WAL room; the tables are then ahead of the file, by what is about to be written. */
  #placed(transactions: readonly Transaction[]): { transaction: Transaction; position: Position }[] {
    const placed: { transaction: Transaction; position: Position }[] = []
    const pages = transactions.reduce((sum, { pgnos }) => sum + pgnos.length, 0)
    if (transactions.length < 2 || !this.#walHasRoom(pages, this.#pageSize)) return placed
    for (const transaction of transactions) {
      const position = this.#tryFollow(transaction)
      if (position === undefined) return placed
      placed.push({ transaction, position })
      transaction.pgnos.forEach((pgno, i) => this.#pages.setChecksum(pgno, transaction.checksums[i] as Checksum))
      this.#pages.resize(transaction.header.commit)
      this.#position = position
      this.#checksum = position.checksum
    }
    return placed
  }

  /** Where it leads to; undefined when it does not follow: its own turn will tell why. */
  #tryFollow(transaction: Transaction): Position | undefined {
    if (transaction.header.commit < this.#pages.sizePages) return undefined
    try {
      return this.#positionAfter(transaction, {})
    } catch {
      return undefined
    }
  }

  /**
   * The whole database, as a snapshot has it, takes the place of what is there, whatever that is. Readers see it as one transaction; only
   * pages that differ are written.
   *
   * Throws LTXError, ApplyInvalidError, ApplyDivergedError (nothing was changed), and ApplyBlockedError (try again).
   */
  replace(snapshot: LtxBytes, position: Position, { before }: Pick<ApplyOptions, 'before'> = {}): ApplyResult {
    if (this.#broken !== undefined) throw this.#broken
    const whole = new Transaction(snapshot)
    const { commit, pageSize } = whole.header
    const wanted = pagesOf(commit, lockPgno(pageSize))
    if (whole.pgnos.length !== wanted || commit === 0) {
      throw new ApplyInvalidError(this.path, `a snapshot of ${wanted} pages brings ${whole.pgnos.length}`)
    }
    const checksum = whole.checksums.reduce((sum, page) => exchange(sum, 0n, page), EMPTY_CHECKSUM)
    if (checksum !== position.checksum) {
      throw new ApplyDivergedError(this.path, `in the snapshot of ${position.txid}`, position.checksum, checksum)
    }
    const samePages = pageSize === this.#pageSize
    const isNew = (pgno: Pgno, sum: Checksum) => pgno === 1 || !samePages || this.#pages.checksum(pgno) !== sum
    const transaction = whole.only(isNew)
    before?.(position)
    this.#write(transaction, position)
    this.#position = position
    this.#checksum = checksum
    this.#checkpointIfDue()
    return { position, applied: true, pages: transaction.pgnos.length }
  }

  #write(transaction: PageChanges, position: Position): void {
    if (this.#wal !== undefined && this.#declaredMode === 'rollback') this.#leaveWal()
    if (this.#fitsWal(transaction)) this.#applyToWal(transaction, position)
    else this.#applyInPlace(transaction, position)
  }

  /** Brings into the database file what readers allow; ends a WAL that page 1 no longer asks for. undefined in rollback mode. */
  checkpoint(): CheckpointResult | undefined {
    if (this.#broken !== undefined || this.#wal === undefined) return undefined
    const result = this.#checkpoint()
    if (this.#declaredMode === 'rollback' && result?.complete === true) this.#leaveWal()
    return result
  }

  /** Leaves what SQLite leaves: without -wal and -shm where no other process has the database open. */
  close(): void {
    try {
      if (this.#broken === undefined && this.#wal !== undefined) {
        this.#checkpoint()
        this.#leaveWal()
      }
    } finally {
      this.#wal?.close()
      this.#wal = undefined
      this.#broken ??= new Error(`${this.path} has been closed`)
      this.#file.close()
    }
  }

  #load(): void {
    const file = this.#file
    const header = file.header()
    if (header === undefined && file.sizeBytes() > 0) throw new NotDatabaseError(this.path, 'is no SQLite database')
    if (header === undefined && hasWal(this.path)) throw new NotDatabaseError(this.path, 'is empty, but has a -wal')
    if (header !== undefined) {
      if (header.journalMode === 'wal' || hasWal(this.path)) this.#wal = Wal.open(file)
      this.#pageSize = header.pageSize
      if (this.#wal !== undefined && this.#wal.frames > 0 && this.#wal.pageSize !== header.pageSize) {
        throw new NotDatabaseError(
          this.path,
          `has pages of ${header.pageSize} bytes, its -wal of ${this.#wal.pageSize}`,
        )
      }
      this.#readPages(this.#wal?.sizePages ?? file.sizePages(header))
      const first = parseDatabaseHeader(this.#readPage(1))
      this.#declaredMode = first?.journalMode ?? header.journalMode
    }
    const { positions } = this.#options
    const empty = { txid: toTXID(0), checksum: EMPTY_CHECKSUM }
    const known = positions.find(this.#checksum) ?? (this.#checksum === EMPTY_CHECKSUM ? empty : undefined)
    const position = known ?? (this.#options.acceptUnknown ? { ...empty, checksum: this.#checksum } : undefined)
    if (position === undefined) throw new UnknownStateError(this.path, this.#checksum, positions.last)
    this.#position = position
  }

  #readPages(sizePages: number): void {
    const pages = new PageTable()
    for (const [pgno, frame] of this.#wal?.newestFrames() ?? []) if (pgno <= sizePages) pages.setFrame(pgno, frame - 1)
    this.#pages = pages
    const lockPage = lockPgno(this.#pageSize)
    for (let pgno = 1; pgno <= sizePages; pgno++) {
      if (pgno === lockPage) continue
      const checksum = pageChecksum(pgno, this.#readPage(pgno))
      pages.setChecksum(pgno, checksum)
      this.#checksum = exchange(this.#checksum, 0n, checksum)
    }
    pages.resize(sizePages)
  }

  #readPage(pgno: Pgno): Uint8Array {
    const frame = this.#pages.frame(pgno)
    const page =
      frame >= 0 && this.#wal !== undefined
        ? this.#wal.readFrame(frame + 1)
        : this.#file.read((pgno - 1) * this.#pageSize, this.#pageSize)
    if (page.length === this.#pageSize) return page
    throw new NotDatabaseError(this.path, `ends within page ${pgno}, but has ${this.#pages.sizePages} pages`)
  }

  #assertContinues({ header, pgnos }: Transaction, options: ApplyOptions): void {
    const { txid } = this.#position
    const { minTXID, pageSize, commit } = header
    if (minTXID > nextTXID(txid)) throw new ApplyGapError(this.path, txid, minTXID)
    const pre = header.preApplyChecksum === 0n ? options.preApplyChecksum : header.preApplyChecksum
    if (minTXID === nextTXID(txid) && txid > 0n && pre !== undefined && pre !== this.#checksum) {
      throw new ApplyDivergedError(this.path, `before transaction ${minTXID}`, pre, this.#checksum)
    }
    // What is there before counts only where pages of the same size lie on it.
    const keptPages = pageSize === this.#pageSize ? Math.min(this.#pages.sizePages, commit) : 0
    const lockPage = lockPgno(pageSize)
    const wanted = pagesOf(commit, lockPage) - pagesOf(keptPages, lockPage)
    const given = pgnos.length - lowerBound(pgnos, keptPages + 1)
    if (given !== wanted) {
      const problem = `of ${wanted} pages that the database does not have yet, its transactions up to ${header.maxTXID} bring ${given}`
      throw new ApplyInvalidError(this.path, problem)
    }
    if (commit > 0 && commit !== this.#pages.sizePages && pgnos[0] !== 1) {
      throw new ApplyInvalidError(this.path, `the size changes to ${commit} pages without page 1`)
    }
  }

  #checksumAfter({ header, pgnos, checksums }: Transaction): Checksum {
    const replaces = header.pageSize !== this.#pageSize
    const pages = this.#pages
    let checksum = replaces ? EMPTY_CHECKSUM : this.#checksum
    pgnos.forEach((pgno, i) => {
      checksum = exchange(checksum, replaces ? 0n : pages.checksum(pgno), checksums[i] ?? 0n)
    })
    if (replaces) return checksum
    for (let pgno = header.commit + 1; pgno <= pages.sizePages; pgno++)
      checksum = exchange(checksum, pages.checksum(pgno), 0n)
    return checksum
  }

  #isUnchanged({ header, pgnos }: Transaction): boolean {
    return pgnos.length === 0 && header.commit === this.#pages.sizePages
  }

  #fitsWal({ header }: PageChanges): boolean {
    return this.#wal !== undefined && header.commit > 0 && header.pageSize === this.#pageSize
  }

  #applyToWal(transaction: PageChanges, position: Position): void {
    const { header, pgnos, checksums } = transaction
    if (!this.#walHasRoom(pgnos.length, header.pageSize) && !this.#checkpoint()?.complete) {
      throw new ApplyBlockedError(
        this.path,
        `its WAL has grown to ${this.#wal?.sizeBytes} bytes, and a reader keeps it from beginning anew`,
      )
    }
    const firstPage = transaction.firstPage()
    this.#note(position)
    this.#appendFrames([transaction])
    pgnos.forEach((pgno, i) => this.#pages.setChecksum(pgno, checksums[i] as Checksum))
    this.#pages.resize(header.commit)
    this.#learnMode(firstPage)
  }

  #walHasRoom(pages: number, pageSize: number): boolean {
    const wal = this.#wal
    return wal === undefined || wal.frames === 0 || wal.sizeAfter(pages, pageSize) <= this.#options.maxWalBytes
  }

  #appendFrames(transactions: readonly PageChanges[]): void {
    const wal = this.#wal
    const pageSize = transactions[0]?.header.pageSize
    if (wal === undefined || pageSize === undefined) throw new Error('only a database in WAL mode has a WAL')
    const parts = transactions.map((transaction) => ({
      pages: transaction.pages(),
      count: transaction.pgnos.length,
      commit: transaction.header.commit,
    }))
    const firstFrame = this.#breaking(() => wal.append(parts, pageSize, this.#options.durable))
    let frame = firstFrame - 1
    for (const { pgnos } of transactions) for (const pgno of pgnos) this.#pages.setFrame(pgno, frame++)
  }

  #applyInPlace(transaction: PageChanges, position: Position): void {
    const { header, pgnos, checksums } = transaction
    if (this.#wal !== undefined && !this.#leaveWal()) {
      throw new ApplyBlockedError(
        this.path,
        'a change of its page size, or its end, waits until no other process has it open',
      )
    }
    const before: Size = { pageSize: this.#pageSize || header.pageSize, sizePages: this.#pages.sizePages }
    const after: Size = { pageSize: header.pageSize, sizePages: header.commit }
    const firstPage = transaction.firstPage()
    this.#whileExclusive(() => {
      this.#note(position)
      this.#breaking(() => writeInPlace(this.#file, before, after, transaction.pages()))
      if (before.pageSize !== after.pageSize) this.#pages = new PageTable()
      pgnos.forEach((pgno, i) => this.#pages.setChecksum(pgno, checksums[i] as Checksum))
      this.#pages.resize(header.commit)
      this.#pageSize = header.commit === 0 ? 0 : header.pageSize
      this.#learnMode(firstPage)
      // Before anyone can open the WAL, so that nobody takes its write lock first.
      if (header.commit > 0 && this.#declaredMode === 'wal') this.#breaking(() => (this.#wal = Wal.open(this.#file)))
    })
  }

  /** A failure half-way leaves the file to the next start, which recovers as after a crash. */
  #breaking<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      this.#broken = error instanceof Error ? error : new Error(String(error))
      throw error
    }
  }

  #learnMode(firstPage: Uint8Array | undefined): void {
    const header = firstPage === undefined ? undefined : parseDatabaseHeader(firstPage)
    if (header !== undefined) this.#declaredMode = header.journalMode
  }

  /** Ends WAL mode where nobody else has the database open, as the last of SQLite's connections does. */
  #leaveWal(): boolean {
    const wal = this.#wal
    if (wal === undefined) return true
    if (!this.#file.tryExclusive(0)) return false
    try {
      if (!wal.checkpoint(this.#pages).complete) return false
      wal.remove()
      this.#wal = undefined
      return true
    } finally {
      this.#file.endExclusive()
    }
  }

  #whileExclusive(work: () => void): void {
    if (!this.#file.tryExclusive(this.#options.busyMs)) {
      throw new ApplyBlockedError(this.path, 'in rollback mode a reader keeps it from being changed')
    }
    try {
      work()
    } finally {
      this.#file.endExclusive()
    }
  }

  /** What the database may be after a crash must be known: at no time may more positions be unsynced than are remembered. */
  #note(position: Position): void {
    const { positions, durable } = this.#options
    positions.note(position, durable)
    if (durable || ++this.#sinceSync < POSITIONS_KEPT / 2) return
    positions.sync()
    this.#wal?.sync()
    this.#sinceSync = 0
  }

  #checkpointIfDue(): void {
    const frames = this.#wal?.frames ?? 0
    const { checkpointFrames } = this.#options
    // The WAL has begun anew.
    if (this.#nextCheckpointAt > frames + checkpointFrames) this.#nextCheckpointAt = 0
    if (frames >= Math.max(checkpointFrames, this.#nextCheckpointAt)) this.#checkpoint()
  }

  #checkpoint(): CheckpointResult | undefined {
    const wal = this.#wal
    if (wal === undefined) return undefined
    this.#nextCheckpointAt = wal.frames + this.#options.checkpointFrames
    return this.#breaking(() => wal.checkpoint(this.#pages))
  }
}

/** SQLite opens a WAL that is there whatever page 1 says, unless it is empty. */
function hasWal(path: string): boolean {
  return (fs.statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0
}

/** Index of the first page number that is not below `pgno`. */
function lowerBound(pgnos: readonly Pgno[], pgno: Pgno): number {
  let low = 0
  for (let high = pgnos.length; low < high;) {
    const middle = (low + high) >>> 1
    if ((pgnos[middle] ?? 0) < pgno) low = middle + 1
    else high = middle
  }
  return low
}
