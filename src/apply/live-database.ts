import fs from 'node:fs'
import { pageChecksum } from '../ltx/format/checksum.ts'
import { type Checksum, EMPTY_CHECKSUM, lockPgno, type Pgno } from '../ltx/format/types.ts'
import { parseDatabaseHeader } from '../sqlite/database-header.ts'
import { exchange, PageTable } from '../sqlite/page-table.ts'
import type { DatabaseFile } from './database-file.ts'
import { ApplyBlockedError, NotDatabaseError } from './errors.ts'
import { hasJournal, rollBack, type Size, writeInPlace } from './journal-file.ts'
import type { PageChanges } from './transaction.ts'
import { type CheckpointResult, Wal } from './wal.ts'

type Mode = 'wal' | 'rollback'

export interface LiveDatabaseOptions {
  /** What was written survives a power loss on return. */
  readonly durable: boolean
  /** A checkpoint is tried whenever the WAL has grown by so many frames. */
  readonly checkpointFrames: number
  /** A WAL that a reader keeps from beginning anew grows to this and no further. */
  readonly maxWalBytes: number
  /** How long readers in rollback mode are waited for at a time. */
  readonly busyMs: number
}

/**
 * A database that others read, as its only writer sees it: the file, its WAL, and the checksum of each page. It writes
 * what it is told, under SQLite's locks, and asks no questions: whether a change belongs here is the Applier's to know.
 */
export class LiveDatabase {
  /** The newest version of each page: its checksum, and the WAL frame that holds it. */
  #pages = new PageTable()
  /** 0 while the database is empty. */
  pageSize = 0
  readonly #file: DatabaseFile
  readonly #options: LiveDatabaseOptions
  #wal: Wal | undefined
  /** What page 1 says, which is what SQLite goes by once it has closed the WAL. */
  #declaredMode: Mode = 'rollback'
  #nextCheckpointAt = 0
  #broken: Error | undefined

  /** Recovers the database as SQLite would. Throws ApplyBlockedError, NotDatabaseError. */
  constructor(file: DatabaseFile, options: LiveDatabaseOptions) {
    this.#file = file
    this.#options = options
    if (hasJournal(file)) this.#whileExclusive(() => rollBack(file))
    const header = file.header()
    if (header === undefined && file.sizeBytes() > 0) throw new NotDatabaseError(file.path, 'is no SQLite database')
    if (header === undefined && hasWal(file.path)) throw new NotDatabaseError(file.path, 'is empty, but has a -wal')
    if (header !== undefined && (header.journalMode === 'wal' || hasWal(file.path))) this.#wal = Wal.open(file)
  }

  /** Reads every page. Returns the checksum of the database. Throws NotDatabaseError. */
  load(): Checksum {
    const file = this.#file
    const header = file.header()
    if (header === undefined) return EMPTY_CHECKSUM
    const { pageSize } = header
    if (this.#wal !== undefined && this.#wal.frames > 0 && this.#wal.pageSize !== pageSize) {
      throw new NotDatabaseError(file.path, `has pages of ${pageSize} bytes, its -wal of ${this.#wal.pageSize}`)
    }
    this.pageSize = pageSize
    const sizePages = this.#wal?.sizePages ?? file.sizePages(header)
    const pages = new PageTable()
    for (const [pgno, frame] of this.#wal?.newestFrames() ?? []) if (pgno <= sizePages) pages.setFrame(pgno, frame - 1)
    this.#pages = pages
    const lockPage = lockPgno(pageSize)
    let checksum = EMPTY_CHECKSUM
    for (let pgno = 1; pgno <= sizePages; pgno++) {
      if (pgno === lockPage) continue
      const sum = pageChecksum(pgno, this.#readPage(pgno, sizePages))
      pages.setChecksum(pgno, sum)
      checksum = exchange(checksum, 0n, sum)
    }
    pages.resize(sizePages)
    const firstPage = parseDatabaseHeader(this.#readPage(1, sizePages))
    this.#declaredMode = firstPage?.journalMode ?? header.journalMode
    return checksum
  }

  /** What may be asked of the pages; to be changed by `foresee` alone. */
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

  /** A write failed half-way: the next start recovers as after a crash. */
  assertUsable(): void {
    if (this.#broken !== undefined) throw this.#broken
  }

  /** A change that becomes nothing but frames, whatever else is written with it. */
  isFrames(change: PageChanges): boolean {
    const { header, pgnos } = change
    if (!this.#fitsWal(change) || this.#declaredMode !== 'wal' || pgnos.length === 0) return false
    if (header.commit < this.#pages.sizePages) return false
    const firstPage = change.firstPage()
    return firstPage === undefined || parseDatabaseHeader(firstPage)?.journalMode === 'wal'
  }

  /** So many pages more do not make the WAL longer than it may become. */
  hasRoom(pages: number, pageSize = this.pageSize): boolean {
    const wal = this.#wal
    return wal === undefined || wal.frames === 0 || wal.sizeAfter(pages, pageSize) <= this.#options.maxWalBytes
  }

  /** Enters the pages of a change that `appendFrames` is about to write. */
  foresee({ header, pgnos, checksums }: PageChanges): void {
    pgnos.forEach((pgno, i) => this.#pages.setChecksum(pgno, checksums[i] as Checksum))
    this.#pages.resize(header.commit)
  }

  /**
   * Readers see all of it, or nothing. `before` is called when nothing but a failing disk can keep it from being
   * written. Throws ApplyBlockedError while a reader is in the way: nothing has changed then.
   */
  write(change: PageChanges, before: () => void): void {
    if (this.#wal !== undefined && this.#declaredMode === 'rollback') this.#leaveWal()
    if (this.#fitsWal(change)) this.#writeToWal(change, before)
    else this.#writeInPlace(change, before)
  }

  /** Changes that were foreseen, in one write: see `isFrames`. */
  appendFrames(changes: readonly PageChanges[]): void {
    const wal = this.#wal
    const pageSize = changes[0]?.header.pageSize
    if (wal === undefined || pageSize === undefined) throw new Error('only a database in WAL mode has a WAL')
    const parts = changes.map((change) => ({
      pages: change.pages(),
      count: change.pgnos.length,
      commit: change.header.commit,
    }))
    let frame = this.breaking(() => wal.append(parts, pageSize, this.#options.durable)) - 1
    for (const { pgnos } of changes) for (const pgno of pgnos) this.#pages.setFrame(pgno, frame++)
  }

  /** A failure half-way leaves the file to the next start. */
  breaking<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      this.#broken = error instanceof Error ? error : new Error(String(error))
      throw error
    }
  }

  /** Makes durable what has been written. In rollback mode everything is. */
  sync(): void {
    this.#wal?.sync()
  }

  checkpointIfDue(): void {
    const frames = this.walFrames
    const { checkpointFrames } = this.#options
    // The WAL has begun anew.
    if (this.#nextCheckpointAt > frames + checkpointFrames) this.#nextCheckpointAt = 0
    if (frames >= Math.max(checkpointFrames, this.#nextCheckpointAt)) this.#checkpoint()
  }

  /**
   * Brings into the database file what readers allow; ends a WAL that page 1 no longer asks for. undefined in rollback
   * mode.
   */
  checkpoint(): CheckpointResult | undefined {
    if (this.#broken !== undefined) return undefined
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
      this.#broken ??= new Error(`${this.#file.path} has been closed`)
    }
  }

  /** Lets go of it as it is. */
  abandon(): void {
    this.#wal?.close()
    this.#wal = undefined
  }

  #readPage(pgno: Pgno, sizePages: number): Uint8Array {
    const frame = this.#pages.frame(pgno)
    const page =
      frame >= 0 && this.#wal !== undefined
        ? this.#wal.readFrame(frame + 1)
        : this.#file.read((pgno - 1) * this.pageSize, this.pageSize)
    if (page.length === this.pageSize) return page
    throw new NotDatabaseError(this.#file.path, `ends within page ${pgno}, but has ${sizePages} pages`)
  }

  #fitsWal({ header }: PageChanges): boolean {
    return this.#wal !== undefined && header.commit > 0 && header.pageSize === this.pageSize
  }

  #writeToWal(change: PageChanges, before: () => void): void {
    if (!this.hasRoom(change.pgnos.length, change.header.pageSize) && !this.#checkpoint()?.complete) {
      const problem = `its WAL has grown to ${this.walBytes} bytes, and a reader keeps it from beginning anew`
      throw new ApplyBlockedError(this.#file.path, problem)
    }
    const firstPage = change.firstPage()
    before()
    this.appendFrames([change])
    this.foresee(change)
    this.#learnMode(firstPage)
  }

  #writeInPlace(change: PageChanges, before: () => void): void {
    const { header } = change
    if (this.#wal !== undefined && !this.#leaveWal()) {
      const problem = 'a change of its page size, or its end, waits until no other process has it open'
      throw new ApplyBlockedError(this.#file.path, problem)
    }
    const from: Size = { pageSize: this.pageSize || header.pageSize, sizePages: this.#pages.sizePages }
    const to: Size = { pageSize: header.pageSize, sizePages: header.commit }
    const firstPage = change.firstPage()
    this.#whileExclusive(() => {
      before()
      this.breaking(() => writeInPlace(this.#file, from, to, change.pages()))
      if (from.pageSize !== to.pageSize) this.#pages = new PageTable()
      this.foresee(change)
      this.pageSize = header.commit === 0 ? 0 : header.pageSize
      this.#learnMode(firstPage)
      // Before anyone can open the WAL, so that nobody takes its write lock first.
      if (header.commit > 0 && this.#declaredMode === 'wal') this.breaking(() => (this.#wal = Wal.open(this.#file)))
    })
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
      throw new ApplyBlockedError(this.#file.path, 'in rollback mode a reader keeps it from being changed')
    }
    try {
      work()
    } finally {
      this.#file.endExclusive()
    }
  }

  #checkpoint(): CheckpointResult | undefined {
    const wal = this.#wal
    if (wal === undefined) return undefined
    this.#nextCheckpointAt = wal.frames + this.#options.checkpointFrames
    return this.breaking(() => wal.checkpoint(this.#pages))
  }
}

/** SQLite opens a WAL that is there whatever page 1 says, unless it is empty. */
function hasWal(path: string): boolean {
  return (fs.statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0
}
