import assert from 'node:assert/strict'
import { type Checksum, EMPTY_CHECKSUM, lockPgno, type Pgno, type Position, toTXID } from '../ltx/format/types.ts'
import { pagesOf } from '../sqlite/locks.ts'
import { exchange } from '../sqlite/page-table.ts'
import { takeBatch } from './batch.ts'
import { assertContinues, checksumAfter } from './continues.ts'
import { DatabaseFile } from './database-file.ts'
import { ApplyDivergedError, ApplyInvalidError, UnknownStateError } from './errors.ts'
import { LiveDatabase } from './live-database.ts'
import { type Positions, POSITIONS_KEPT } from './positions.ts'
import { type LtxBytes, Transaction } from './transaction.ts'
import type { CheckpointResult } from './wal.ts'

export interface ApplierOptions {
  readonly positions: Positions
  /**
   * What was applied survives a power loss on return. Otherwise a power loss may take the newest back, as SQLite's
   * synchronous=NORMAL.
   */
  readonly durable?: boolean
  /** A checkpoint is tried whenever the WAL has grown by so many frames. 1000, as SQLite's. */
  readonly checkpointFrames?: number
  /** A WAL that a reader keeps from beginning anew grows to this and no further: then the database lags. 1 GiB. */
  readonly maxWalBytes?: number
  /** How long readers in rollback mode are waited for at a time. */
  readonly busyMs?: number
  /**
   * A database in a state that no position tells of is opened all the same, at transaction 0: only `replace` leads on
   * from there.
   */
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
  readonly #database: LiveDatabase
  #position: Position
  #sinceSync = 0

  /**
   * Opens a database file, or begins an empty one. Recovers it as SQLite would, reads all of it, and finds its position
   * by its checksum. Throws ApplyBlockedError, UnknownStateError, NotDatabaseError.
   */
  static open(path: string, options: ApplierOptions): Applier {
    const file = DatabaseFile.open(path)
    let database: LiveDatabase | undefined
    try {
      const all = { ...DEFAULTS, ...options }
      database = new LiveDatabase(file, all)
      return new Applier(file, database, findPosition(path, database.load(), all), all)
    } catch (error) {
      database?.abandon()
      file.close()
      throw error
    }
  }

  private constructor(
    file: DatabaseFile,
    database: LiveDatabase,
    position: Position,
    options: Required<ApplierOptions>,
  ) {
    this.path = file.path
    this.#file = file
    this.#database = database
    this.#position = position
    this.#options = options
  }

  get position(): Position {
    return this.#position
  }

  /** 0 while the database is empty. */
  get pageSize(): number {
    return this.#database.pageSize
  }

  get journalMode(): 'wal' | 'rollback' {
    return this.#database.journalMode
  }

  get status(): ApplierStatus {
    const { journalMode, walFrames, walBytes } = this.#database
    return { journalMode, walFrames, walBytes }
  }

  /**
   * Applies one LTX file: a transaction, a compacted range, or a snapshot. Everything about it is verified before
   * anything is written, and every reader sees all of it or nothing. What the database has already is passed over.
   *
   * Throws LTXError and ApplyGapError, ApplyDivergedError, ApplyInvalidError (nothing was changed, nor will be by
   * trying again), and ApplyBlockedError (try again).
   */
  apply(bytes: LtxBytes, options: ApplyOptions = {}): ApplyResult {
    this.#database.assertUsable()
    return this.#applyOne(new Transaction(bytes), options)
  }

  /**
   * Applies transactions that follow one another, as many of them as go in one write; readers see them all at once.
   * Returns how many those were: at least one. `before` hears all positions that they lead to, in order.
   *
   * Throws what `apply` does, and only because of the first.
   */
  applyAll(
    files: readonly [LtxBytes, ...LtxBytes[]],
    before?: (positions: readonly Position[]) => void,
  ): ApplyResult & { readonly count: number } {
    const database = this.#database
    database.assertUsable()
    const [firstFile, ...rest] = files
    const first = new Transaction(firstFile)
    const batch = this.#placed(takeBatch(first, rest, (transaction) => database.isFrames(transaction)))
    const last = batch.at(-1)
    if (last === undefined) {
      return { ...this.#applyOne(first, { before: (position) => before?.([position]) }), count: 1 }
    }
    database.breaking(() => before?.(batch.map(({ position }) => position)))
    for (const { position } of batch) this.#note(position)
    database.appendFrames(batch.map(({ transaction }) => transaction))
    database.checkpointIfDue()
    const pages = batch.reduce((sum, { transaction }) => sum + transaction.pgnos.length, 0)
    return { position: last.position, applied: true, pages, count: batch.length }
  }

  /**
   * The whole database, as a snapshot has it, takes the place of what is there, whatever that is. Readers see it as one
   * transaction; only pages that differ are written.
   *
   * Throws LTXError, ApplyInvalidError, ApplyDivergedError (nothing was changed), and ApplyBlockedError (try again).
   */
  replace(snapshot: LtxBytes, position: Position, { before }: Pick<ApplyOptions, 'before'> = {}): ApplyResult {
    const database = this.#database
    database.assertUsable()
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
    const samePages = pageSize === database.pageSize
    const isNew = (pgno: Pgno, sum: Checksum) => pgno === 1 || !samePages || database.pages.checksum(pgno) !== sum
    const transaction = whole.only(isNew)
    before?.(position)
    database.write(transaction, () => this.#note(position))
    this.#position = position
    database.checkpointIfDue()
    return { position, applied: true, pages: transaction.pgnos.length }
  }

  /**
   * Brings into the database file what readers allow; ends a WAL that page 1 no longer asks for. undefined in rollback
   * mode.
   */
  checkpoint(): CheckpointResult | undefined {
    return this.#database.checkpoint()
  }

  /** Leaves what SQLite leaves: without -wal and -shm where no other process has the database open. */
  close(): void {
    try {
      this.#database.close()
    } finally {
      this.#file.close()
    }
  }

  #applyOne(transaction: Transaction, options: ApplyOptions): ApplyResult {
    const position = this.#positionAfter(transaction, options)
    if (position === undefined) return { position: this.#position, applied: false, pages: 0 }
    options.before?.(position)
    const { header, pgnos } = transaction
    const isUnchanged = pgnos.length === 0 && header.commit === this.#database.pages.sizePages
    this.#assertNewer(position)
    if (isUnchanged) this.#note(position)
    else this.#database.write(transaction, () => this.#note(position))
    this.#position = position
    if (header.commit > 0) this.#database.checkpointIfDue()
    return { position, applied: true, pages: pgnos.length }
  }

  /**
   * Where the transaction leads to; undefined when the database has it already. Throws when it does not lead on from
   * here.
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
      throw new ApplyDivergedError(this.path, `after transaction ${maxTXID}`, expected, position.checksum)
    }
    return position
  }

  /**
   * Those of them that follow one another and leave the WAL room; the tables are then ahead of the file, by what is
   * about to be written.
   */
  #placed(transactions: readonly Transaction[]): { transaction: Transaction; position: Position }[] {
    const placed: { transaction: Transaction; position: Position }[] = []
    const pages = transactions.reduce((sum, { pgnos }) => sum + pgnos.length, 0)
    if (transactions.length < 2 || !this.#database.hasRoom(pages)) return placed
    for (const transaction of transactions) {
      const position = this.#tryFollow(transaction)
      if (position === undefined) return placed
      this.#assertNewer(position)
      placed.push({ transaction, position })
      this.#database.foresee(transaction)
      this.#position = position
    }
    return placed
  }

  /** Where it leads to; undefined when it does not follow: its own turn will tell why. */
  #tryFollow(transaction: Transaction): Position | undefined {
    if (transaction.header.commit < this.#database.pages.sizePages) return undefined
    try {
      return this.#positionAfter(transaction, {})
    } catch {
      return undefined
    }
  }

  /** I8: called before anything is written that a reader sees. Only `replace` may lead elsewhere. */
  #assertNewer({ txid }: Position): void {
    const at = this.#position.txid
    assert.ok(txid > at, `I8: readers of ${this.path} have seen transaction ${at} and would see ${txid}`)
  }

  /**
   * What the database may be after a crash must be known: at no time may more positions be unsynced than are
   * remembered.
   */
  #note(position: Position): void {
    const { positions, durable } = this.#options
    positions.note(position, durable)
    if (durable || ++this.#sinceSync < POSITIONS_KEPT / 2) return
    positions.sync()
    this.#database.sync()
    this.#sinceSync = 0
  }
}

function findPosition(path: string, checksum: Checksum, options: Required<ApplierOptions>): Position {
  const { positions, acceptUnknown } = options
  const known = positions.find(checksum)
  if (known !== undefined) return known
  const begin = { txid: toTXID(0), checksum }
  if (checksum === EMPTY_CHECKSUM || acceptUnknown) return begin
  throw new UnknownStateError(path, checksum, positions.last)
}
