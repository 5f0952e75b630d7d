import assert from 'node:assert/strict'
import { type Checksum, EMPTY_CHECKSUM } from '../ltx/format/types.ts'
import { type DatabaseHeader, journalModeOf } from '../sqlite/database-header.ts'
import { PageTable } from '../sqlite/page-table.ts'
import { hasWal, SIDE_SUFFIXES } from './beside.ts'
import { Breakable } from './breakable.ts'
import type { DatabaseFile } from './database-file.ts'
import { identifyEncrypted, type Known } from './encrypted-file.ts'
import { ApplyBlockedError, NotDatabaseError } from './errors.ts'
import { hasJournal, rollBack, type Size, writeInPlace } from './journal-file.ts'
import type { LiveDatabaseOptions } from './live-options.ts'
import { loadPages, pageSizeOf, validHeader } from './load-pages.ts'
import { finish, type Steps } from './steps.ts'
import type { PageChanges } from './transaction.ts'
import { Wal } from './wal.ts'
import type { CheckpointResult } from './wal-frames.ts'

type Mode = 'wal' | 'rollback'

/**
 * A database that others read, from its only writer's side: the file, its WAL, and the checksum of each page. It writes
 * changes under SQLite's locks. The Applier checks beforehand that a change continues the database.
 */
export class LiveDatabase {
  /** The newest version of each page: its checksum, and its WAL frame, if it has one. */
  #pages = new PageTable()
  /** 0 while the database is empty. */
  pageSize = 0
  readonly #file: DatabaseFile
  readonly #options: LiveDatabaseOptions
  #wal: Wal | undefined
  /** The journal mode in page 1. SQLite follows it once the WAL is closed. */
  #declaredMode: Mode = 'rollback'
  #nextCheckpointAt = 0
  /** Broken, nothing is done until the next start recovers the database, as after a crash. */
  readonly writes = new Breakable()

  /** Recovers the database as SQLite would. Throws ApplyBlockedError, NotDatabaseError, NotRegularError. */
  constructor(file: DatabaseFile, options: LiveDatabaseOptions) {
    this.#file = file
    this.#options = options
    for (const suffix of SIDE_SUFFIXES) file.removeForeign(suffix)
    if (hasJournal(file)) this.#whileExclusive(() => this.writes.run(() => rollBack(file)))
    else file.files.remove(`${file.path}-journal`) // journal_mode TRUNCATE leaves an empty one.
    const header = validHeader(file)
    if (header !== undefined && (header.journalMode === 'wal' || hasWal(file))) this.#wal = Wal.open(file)
  }

  /** Reads every page. Returns the checksum of the database. Throws ApplyBlockedError, NotDatabaseError. */
  *load(known?: Known): Steps<Checksum> {
    const file = this.#file
    if (file.sizeBytes() === 0) return EMPTY_CHECKSUM
    const header = file.header() ?? this.#openEncrypted(known)
    const pageSize = (this.pageSize = pageSizeOf(file, this.#wal, header))
    const sizePages = this.#wal?.sizePages ?? file.sizePages(header)
    const { pages, checksum, firstPage } = yield* loadPages(file, this.#wal, { pageSize, sizePages })
    this.#pages = pages
    this.#declaredMode = journalModeOf(firstPage)
    return checksum
  }

  /** Read access to the page table. Only `setPages` changes it. */
  get pages(): Pick<PageTable, 'checksum' | 'sizePages'> {
    return this.#pages
  }

  get journalMode(): Mode {
    return this.#wal === undefined ? 'rollback' : 'wal'
  }

  get walFrames(): number {
    return this.#wal?.frames ?? 0
  }

  get walBytes(): number {
    return this.#wal?.sizeBytes ?? 0
  }

  /** Whether the change can be written as WAL frames alone, in one write with others. */
  isFrames(change: PageChanges): boolean {
    const { header, pgnos } = change
    if (!this.#fitsWal(change) || this.#declaredMode !== 'wal' || pgnos.length === 0) return false
    if (header.commit < this.#pages.sizePages) return false
    const firstPage = change.firstPage()
    return firstPage === undefined || journalModeOf(firstPage) === 'wal'
  }

  /** Whether the WAL stays within its limit after `pages` more frames. */
  hasRoom(pages: number, pageSize = this.pageSize): boolean {
    const wal = this.#wal
    return wal === undefined || wal.frames === 0 || wal.sizeAfter(pages, pageSize) <= this.#options.maxWalBytes
  }

  /** Sets checksums and size in the page table, before or after the change is written. */
  setPages({ header, pgnos, checksums }: PageChanges): void {
    pgnos.forEach((pgno, i) => this.#pages.setChecksum(pgno, checksums[i] as Checksum))
    this.#pages.resize(header.commit)
  }

  /**
   * Writes a change, of which readers see all or nothing. Calls `before` when all locks are held and only an I/O error
   * can prevent the write. Throws ApplyBlockedError while a reader blocks the change; then nothing has changed.
   */
  *write(change: PageChanges, before: () => void): Steps<void> {
    if (this.#wal !== undefined && this.#declaredMode === 'rollback') yield* this.#leaveWal()
    if (this.#fitsWal(change)) return yield* this.#writeToWal(change, before)
    const wal = (yield* this.#leaveWal()) ? undefined : this.#wal
    if (wal === undefined) yield* this.#writeInPlace(change, before)
    else yield* this.#beginWalAnew(wal, change, before)
  }

  /** Appends changes to the WAL in one write. */
  *appendFrames(changes: readonly PageChanges[]): Steps<void> {
    const wal = this.#wal
    const pageSize = changes[0]?.header.pageSize
    if (wal === undefined || pageSize === undefined) throw new Error('only a database in WAL mode has a WAL')
    const parts = changes.map((change) => ({
      pages: change.pages(),
      count: change.pgnos.length,
      commit: change.header.commit,
    }))
    let frame = (yield* this.writes.steps(wal.append(parts, pageSize, this.#options.durable))) - 1
    for (const { pgnos } of changes) for (const pgno of pgnos) this.#pages.setFrame(pgno, frame++)
  }

  /** Takes the write locks again after `unlockWrites`. Throws ApplyBlockedError. */
  lockWrites(): void {
    this.writes.assertWhole()
    if (this.#wal === undefined) return this.#file.lock()
    if (this.#wal.lockWrites()) return
    this.writes.run(() => assert.fail(`I8: another process changed the wal-index of ${this.#file.path}`))
  }

  /** Others can take the write locks: only where something else rejects what they write. */
  unlockWrites(): void {
    if (!this.writes.isWhole) return
    if (this.#wal === undefined) this.#file.unlock()
    else this.#wal.unlockWrites()
  }

  /** Makes every write durable. In rollback mode they already are. */
  sync(): void {
    this.#wal?.sync()
  }

  *checkpointIfDue(): Steps<void> {
    const frames = this.walFrames
    const { checkpointFrames } = this.#options
    // The WAL restarted.
    if (this.#nextCheckpointAt > frames + checkpointFrames) this.#nextCheckpointAt = 0
    if (frames >= Math.max(checkpointFrames, this.#nextCheckpointAt)) yield* this.#checkpoint()
  }

  /**
   * Copies into the database file the frames that no reader's snapshot forbids. Ends WAL mode where page 1 says
   * rollback mode. undefined in rollback mode.
   */
  *checkpoint(): Steps<CheckpointResult | undefined> {
    if (!this.writes.isWhole) return undefined
    const result = yield* this.#checkpoint()
    if (this.#declaredMode === 'rollback' && result?.complete === true) yield* this.#leaveWal()
    return result
  }

  /** Removes -wal and -shm, as SQLite does, unless another process has the database open. */
  close(): void {
    try {
      if (this.writes.isWhole && this.#wal !== undefined) {
        finish(this.#checkpoint())
        finish(this.#leaveWal())
      }
    } finally {
      this.#wal?.close()
      this.#wal = undefined
      this.writes.break(new Error(`${this.#file.path} has been closed`))
    }
  }

  /** Closes the WAL without a checkpoint. */
  abandon(): void {
    this.#wal?.close()
    this.#wal = undefined
  }

  /** Its first page does not tell the mode of its readers: nobody reads the file alone while its first WAL is made. */
  #openEncrypted(known: Known | undefined): DatabaseHeader {
    const header = known === undefined ? undefined : identifyEncrypted(this.#file, known)
    if (header === undefined) throw new NotDatabaseError(this.#file.path, 'is not a SQLite database')
    const open = () => (this.#wal = Wal.open(this.#file))
    if (hasWal(this.#file, 'of any size')) open()
    else this.#whileExclusive(open)
    return header
  }

  #fitsWal({ header }: PageChanges): boolean {
    return this.#wal !== undefined && header.commit > 0 && header.pageSize === this.pageSize
  }

  *#writeToWal(change: PageChanges, before: () => void): Steps<void> {
    const hasRoom = this.hasRoom(change.pgnos.length, change.header.pageSize)
    if (!hasRoom && (yield* this.#checkpoint())?.complete !== true) {
      const problem = `its WAL has grown to ${this.walBytes} bytes, and a reader prevents it from restarting`
      throw new ApplyBlockedError(this.#file.path, problem)
    }
    const firstPage = change.firstPage()
    before()
    yield* this.appendFrames([change])
    this.setPages(change)
    this.#updateMode(firstPage)
  }

  *#writeInPlace(change: PageChanges, before: () => void): Steps<void> {
    const { header } = change
    const from: Size = { pageSize: this.pageSize || header.pageSize, sizePages: this.#pages.sizePages }
    const to: Size = { pageSize: header.pageSize, sizePages: header.commit }
    const firstPage = change.firstPage()
    this.#file.lockExclusive(this.#options.busyMs)
    try {
      before()
      yield* this.writes.steps(writeInPlace(this.#file, from, to, change.pages()))
      if (from.pageSize !== to.pageSize) this.#pages = new PageTable()
      this.setPages(change)
      this.pageSize = header.commit === 0 ? 0 : header.pageSize
      this.#updateMode(firstPage)
      // Under the EXCLUSIVE lock, so that no other connection can take the WAL's write lock first.
      if (header.commit > 0 && this.#declaredMode === 'wal') this.writes.run(() => (this.#wal = Wal.open(this.#file)))
    } finally {
      this.#unlockExclusive()
    }
  }

  /**
   * Writes all pages, of another size, to a WAL that begins with them: programs that have the database open do not need
   * the file, and SQLite learns the size from each first page that it reads. Then it copies them into the file.
   */
  *#beginWalAnew(wal: Wal, change: PageChanges, before: () => void): Steps<void> {
    const { path } = this.#file
    if (change.header.commit === 0)
      throw new ApplyBlockedError(path, `${this.#file.reader()} has it open, and it becomes empty only when nobody has`)
    if ((yield* this.#checkpoint())?.complete !== true || !wal.restart()) {
      const problem = 'reads an older state, and a new page size must wait until no reader does'
      throw new ApplyBlockedError(path, `${wal.reader()} ${problem}`)
    }
    const firstPage = change.firstPage()
    before()
    this.#pages = new PageTable()
    this.pageSize = change.header.pageSize
    yield* this.appendFrames([change])
    this.setPages(change)
    this.#updateMode(firstPage)
    yield* this.#checkpoint()
  }

  #updateMode(firstPage: Uint8Array | undefined): void {
    if (firstPage !== undefined) this.#declaredMode = journalModeOf(firstPage)
  }

  /** Ends WAL mode if no other process has the database open, as SQLite's last connection does. */
  *#leaveWal(): Steps<boolean> {
    const wal = this.#wal
    if (wal === undefined) return true
    if (!this.#file.tryExclusive(0)) return false
    try {
      if (!(yield* wal.checkpoint(this.#pages)).complete) return false
      wal.remove()
      this.#wal = undefined
      return true
    } finally {
      this.#file.endExclusive()
    }
  }

  #whileExclusive(work: () => void): void {
    this.#file.lockExclusive(this.#options.busyMs)
    try {
      work()
    } finally {
      this.#unlockExclusive()
    }
  }

  /** I8: nobody reads a file that is half written. After it is closed, its journal is hot, and keeps readers out. */
  #unlockExclusive(): void {
    if (this.writes.isWhole) this.#file.endExclusive()
  }

  *#checkpoint(): Steps<CheckpointResult | undefined> {
    const wal = this.#wal
    if (wal === undefined) return undefined
    this.#nextCheckpointAt = wal.frames + this.#options.checkpointFrames
    return yield* this.writes.steps(wal.checkpoint(this.#pages))
  }
}
