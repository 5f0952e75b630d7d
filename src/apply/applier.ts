import assert from 'node:assert/strict'
import type { Stats } from 'node:fs'
import { type Checksum, lockPgno, type Pgno, type Position } from '../ltx/format/types.ts'
import { pagesOf } from '../sqlite/locks.ts'
import type { ApplierOptions, ApplierStatus, ApplyOptions, ApplyResult } from './applier-options.ts'
import { takeBatch } from './batch.ts'
import { assertContinues, checksumAfter } from './continues.ts'
import { DatabaseFile } from './database-file.ts'
import { ApplyBlockedError, ApplyDivergedError, ApplyInvalidError } from './errors.ts'
import { findPosition } from './find-position.ts'
import { LiveDatabase } from './live-database.ts'
import { MAX_POSITIONS } from './positions.ts'
import { finish, type Steps } from './steps.ts'
import { type LtxBytes, Transaction } from './transaction.ts'
import type { CheckpointResult } from './wal-frames.ts'

type Options = Required<Omit<ApplierOptions, 'files' | 'make'>>
const DEFAULTS = {
  durable: false,
  checkpointFrames: 1000,
  maxWalBytes: 2 ** 30,
  busyMs: 50,
  acceptUnknown: false,
} as const

/**
 * Applies LTX transactions to a SQLite database that others read with stock SQLite, under SQLite's own locks. While it
 * has the `locks`, it is the database's only writer: no application gets one, and readers are not hindered.
 *
 * The same process must not have a SQLite connection to the file: see RangeLocks.
 */
export class Applier {
  readonly path: string
  readonly #options: Options
  readonly #file: DatabaseFile
  readonly #database: LiveDatabase
  #position: Position
  #sinceSync = 0
  #waiting: { readonly bytes: LtxBytes; readonly transaction: Transaction } | undefined

  /**
   * Opens a database file, or creates an empty one. Recovers it as SQLite would, reads every page, and finds the
   * position by the checksum. Throws ApplyBlockedError, UnknownStateError, NotDatabaseError.
   */
  static open(path: string, options: ApplierOptions): Applier {
    return finish(Applier.openSteps(path, options))
  }

  /** The same, with pauses. */
  static *openSteps(path: string, options: ApplierOptions): Steps<Applier> {
    const all = { ...DEFAULTS, ...options }
    const file = DatabaseFile.open(path, options.files, options.make)
    let database: LiveDatabase | undefined
    try {
      database = new LiveDatabase(file, all)
      return new Applier(file, database, findPosition(path, yield* database.load(all), all), all)
    } catch (error) {
      database?.abandon()
      file.close()
      throw error
    }
  }

  private constructor(file: DatabaseFile, database: LiveDatabase, position: Position, options: Options) {
    this.path = file.path
    this.#file = file
    this.#database = database
    this.#position = position
    this.#options = options
  }

  get position(): Position {
    return this.#position
  }

  /** Of the open file, whatever has its name by now. */
  get stats(): Stats {
    return this.#file.stats()
  }

  /** 0 while the database is empty. */
  get pageSize(): number {
    return this.#database.pageSize
  }

  get status(): ApplierStatus {
    const { journalMode, walFrames, walBytes, writes } = this.#database
    return { journalMode, walFrames, walBytes, isUsable: writes.isWhole }
  }

  /** Held from the start. Whoever lets them go takes them again before the next call. */
  get locks(): Pick<LiveDatabase, 'lockWrites' | 'unlockWrites'> {
    return this.#database
  }

  /**
   * Applies one LTX file: a transaction, a compacted range, or a snapshot. Verifies the whole file before the first
   * write. Every reader sees all of it or nothing. Skips a file that the database already has.
   *
   * Throws LTXError, ApplyGapError, ApplyDivergedError and ApplyInvalidError (nothing was written, and a retry fails
   * the same way), and ApplyBlockedError (nothing was written; retry).
   */
  apply(bytes: LtxBytes, options: ApplyOptions = {}): ApplyResult {
    return finish(this.applySteps(bytes, options))
  }

  /** The same, with pauses. */
  *applySteps(bytes: LtxBytes, options: ApplyOptions = {}): Steps<ApplyResult> {
    this.#database.writes.assertWhole()
    return yield* this.#whileVerified(bytes, (transaction) => this.#applyOne(transaction, options))
  }

  /**
   * Applies as many of the transactions as fit into one write, which readers see all at once. The transactions must
   * follow one another. `count` is how many were applied or skipped: at least one. `before` gets each one's position,
   * in order.
   *
   * Throws the same errors as `apply`, and only for the first transaction.
   */
  applyAll(
    files: readonly [LtxBytes, ...LtxBytes[]],
    before?: (positions: readonly Position[]) => void,
  ): ApplyResult & { readonly count: number } {
    const database = this.#database
    database.writes.assertWhole()
    const [firstFile, ...rest] = files
    const first = Transaction.of(firstFile)
    const batch = this.#advance(takeBatch(first, rest, (transaction) => database.isFrames(transaction)))
    const last = batch.at(-1)
    if (last === undefined) {
      return { ...finish(this.#applyOne(first, { before: (position) => before?.([position]) })), count: 1 }
    }
    database.writes.run(() => before?.(batch.map(({ position }) => position)))
    for (const { position } of batch) this.#note(position)
    finish(database.appendFrames(batch.map(({ transaction }) => transaction)))
    finish(database.checkpointIfDue())
    const pages = batch.reduce((sum, { transaction }) => sum + transaction.pgnos.length, 0)
    return { position: last.position, applied: true, pages, count: batch.length }
  }

  /**
   * Replaces the whole database, in whatever state it is, with a snapshot. Readers see the replacement as one
   * transaction. Writes only pages that differ.
   *
   * Throws LTXError, ApplyInvalidError and ApplyDivergedError (nothing was written), and ApplyBlockedError (nothing was
   * written; retry).
   */
  replace(snapshot: LtxBytes, position: Position, options: Pick<ApplyOptions, 'before'> = {}): ApplyResult {
    return finish(this.replaceSteps(snapshot, position, options))
  }

  /** The same, with pauses. */
  *replaceSteps(
    snapshot: LtxBytes,
    position: Position,
    options: Pick<ApplyOptions, 'before'> = {},
  ): Steps<ApplyResult> {
    this.#database.writes.assertWhole()
    return yield* this.#whileVerified(snapshot, (whole) => this.#replaceBy(whole, position, options))
  }

  *#replaceBy(whole: Transaction, position: Position, { before }: Pick<ApplyOptions, 'before'>): Steps<ApplyResult> {
    const database = this.#database
    const { commit, pageSize } = whole.header
    const wanted = pagesOf(commit, lockPgno(pageSize))
    if (whole.pgnos.length !== wanted || commit === 0) {
      throw new ApplyInvalidError(this.path, `the snapshot has ${whole.pgnos.length} pages, expected ${wanted}`)
    }
    const checksum = whole.pagesChecksum()
    if (checksum !== position.checksum) {
      throw new ApplyDivergedError(this.path, 'of the snapshot at', position.txid, position.checksum, checksum)
    }
    const samePages = pageSize === database.pageSize
    const isNew = (pgno: Pgno, sum: Checksum) => pgno === 1 || !samePages || database.pages.checksum(pgno) !== sum
    const transaction = whole.filter(isNew)
    before?.(position)
    yield* database.write(transaction, () => this.#note(position))
    this.#position = position
    yield* database.checkpointIfDue()
    return { position, applied: true, pages: transaction.pgnos.length }
  }

  /**
   * Copies into the database file the frames that no reader's snapshot forbids. Ends WAL mode where page 1 says
   * rollback mode. undefined in rollback mode.
   */
  checkpoint(): CheckpointResult | undefined {
    return finish(this.checkpointSteps())
  }

  /** The same, with pauses. */
  checkpointSteps(): Steps<CheckpointResult | undefined> {
    return this.#database.checkpoint()
  }

  /** Removes -wal and -shm, as SQLite does, unless another process has the database open. */
  close(): void {
    try {
      this.#database.close()
    } finally {
      this.#file.close()
    }
  }

  /** A transaction that has to wait is verified once, however often it is tried. */
  *#whileVerified<T>(bytes: LtxBytes, work: (transaction: Transaction) => Steps<T>): Steps<T> {
    const known = this.#waiting?.bytes === bytes ? this.#waiting.transaction : undefined
    this.#waiting = undefined
    const transaction = known ?? (yield* Transaction.read(bytes))
    try {
      return yield* work(transaction)
    } catch (error) {
      if (error instanceof ApplyBlockedError) this.#waiting = { bytes, transaction }
      throw error
    }
  }

  *#applyOne(transaction: Transaction, options: ApplyOptions): Steps<ApplyResult> {
    const position = this.#positionAfter(transaction, options)
    if (position === undefined) return { position: this.#position, applied: false, pages: 0 }
    options.before?.(position)
    const { header, pgnos } = transaction
    const isUnchanged = pgnos.length === 0 && header.commit === this.#database.pages.sizePages
    this.#assertNewer(position)
    if (isUnchanged) this.#note(position)
    else yield* this.#database.write(transaction, () => this.#note(position))
    this.#position = position
    if (header.commit > 0) yield* this.#database.checkpointIfDue()
    return { position, applied: true, pages: pgnos.length }
  }

  /**
   * The position after the transaction; undefined when the database already has it. Throws when the transaction does
   * not continue the database.
   */
  #positionAfter(transaction: Transaction, options: ApplyOptions): Position | undefined {
    const { maxTXID } = transaction.header
    if (maxTXID <= this.#position.txid) return undefined
    const { pageSize, pages } = this.#database
    const before = { path: this.path, position: this.#position, pageSize, pages }
    assertContinues(before, transaction, options.preApplyChecksum)
    const position = { txid: maxTXID, checksum: checksumAfter(before, transaction) }
    const expected = transaction.postApplyChecksum ?? options.postApplyChecksum
    if (expected !== undefined && expected !== position.checksum) {
      throw new ApplyDivergedError(this.path, 'after', maxTXID, expected, position.checksum)
    }
    return position
  }

  /**
   * Advances the page table and the position over the transactions that follow one another, if the WAL has room for
   * them. Returns these transactions. Until the caller writes them, the page table is ahead of the file.
   */
  #advance(transactions: readonly Transaction[]): { transaction: Transaction; position: Position }[] {
    const batch: { transaction: Transaction; position: Position }[] = []
    const pages = transactions.reduce((sum, { pgnos }) => sum + pgnos.length, 0)
    if (transactions.length < 2 || !this.#database.hasRoom(pages)) return batch
    for (const transaction of transactions) {
      const position = this.#positionIfNext(transaction)
      if (position === undefined) return batch
      this.#assertNewer(position)
      batch.push({ transaction, position })
      this.#database.setPages(transaction)
      this.#position = position
    }
    return batch
  }

  /** The position after the transaction; undefined when it does not follow. Applied alone, it throws the reason. */
  #positionIfNext(transaction: Transaction): Position | undefined {
    if (transaction.header.commit < this.#database.pages.sizePages) return undefined
    try {
      return this.#positionAfter(transaction, {})
    } catch {
      return undefined
    }
  }

  /** I8: called before any write that a reader can see. Only `replace` may go back. */
  #assertNewer({ txid }: Position): void {
    const at = this.#position.txid
    assert.ok(txid > at, `I8: readers of ${this.path} would go back from transaction ${at} to ${txid}`)
  }

  /**
   * Records a position. After a crash the database may be at any position that was not yet synced, and each of these
   * must still be on record: sync before there are more than the record holds.
   */
  #note(position: Position): void {
    const { positions, durable } = this.#options
    positions.note(position, durable)
    if (durable || ++this.#sinceSync < MAX_POSITIONS / 2) return
    positions.sync()
    this.#database.sync()
    this.#sinceSync = 0
  }
}
