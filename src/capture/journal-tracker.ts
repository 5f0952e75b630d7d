import fs from 'node:fs'
import type { Caller } from '../fuse/content.ts'
import { type CopiedWith, forgetCopiedJournal, noteCopiedJournal } from '../log/copied-journal.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import { lockPgno } from '../ltx/format/types.ts'
import { PageList } from '../sqlite/page-list.ts'
import { assertLogged } from './acknowledgement.ts'
import type { CapturedDatabase } from './captured-database.ts'
import { assertGrowth } from './growth.ts'
import { rejectDamaged, rejectGrowth } from './rejection.ts'
import { namesSuperJournal } from './super-journal.ts'

/**
 * Tracks a transaction in rollback mode. SQLite may change the database file in place from the moment the journal has a
 * valid header until the journal ends: by its unlink, its truncation, or an overwritten header. At that end, the pages
 * that differ from the last committed state are the transaction. After a rollback no page differs, except free-list
 * leaves: SQLite does not restore those, so they become a transaction of their own.
 */
export class JournalTracker {
  readonly #database: CapturedDatabase
  readonly #dirty = new PageList()
  /** So many pages were left when the file was shortest since the journal began. */
  #leftPages = Infinity
  /** The journal protects the database file, so changes in place are allowed. */
  active = false
  /** Grows when the database ends: journals that were opened before belong to nothing. */
  epoch = 0
  /** The descriptor of the active journal; -1 if nobody has it open. Another connection may have removed its name. */
  #fd = -1
  /** SQLite has asked for an fsync of the database file within this transaction. */
  #durable = false
  /** Some pages were written and then restored to their committed versions. */
  #restored = false
  /** The journal began while this node led, so an application began it. */
  #begunLeading = true
  /** The log holds the transaction, but its journal could not be ended. */
  #isCaptured = false
  /** Nobody here wrote the journal: it was copied in. If the database is in a log, that says so, too. */
  isCopied = false

  constructor(database: CapturedDatabase) {
    this.#database = database
  }

  /** The journal that `fd` holds has a valid header. -1: nobody has it open. */
  begin(fd: number): void {
    this.active = true
    this.#fd = fd
    this.#begunLeading = this.#database.authority.leads
    this.#isCaptured = false
  }

  /** A journal that nobody here wrote is about to be valid, or about to be another's. Throws; then it must not be. */
  expectCopied(copiedWith: CopiedWith): void {
    const { files, logDir, tracked } = this.#database
    this.isCopied = true
    if (tracked && logDir !== undefined) noteCopiedJournal(files, logDir, copiedWith)
  }

  /** Whether somebody has the active journal open. */
  get isOpen(): boolean {
    return this.active && this.#fd >= 0
  }

  /**
   * Nobody has the journal `fd` open any more. If it has no name, and `restoreName` cannot give it back, nobody can
   * roll back with it: what its writer, which has died, left in the file is what everybody reads, so it is captured.
   */
  closed(fd: number, restoreName: () => boolean): void {
    if (fd !== this.#fd) return
    this.#fd = -1
    const isNameless = this.active && this.#database.authority.leads && fs.fstatSync(fd).nlink === 0
    if (isNameless && !restoreName()) this.finish()
  }

  /** The file that `fd` holds is no journal of this database any more. */
  letGo(fd: number): void {
    if (fd === this.#fd) this.#fd = -1
  }

  /** Whether the active journal is open, and another file than `fd` holds. */
  isOther(fd: number): boolean {
    return this.active && this.#fd >= 0 && this.#fd !== fd
  }

  /** Whether the active journal is open, and has no name: a file of that name is another. */
  get isNameless(): boolean {
    return this.active && this.#fd >= 0 && fs.fstatSync(this.#fd).nlink === 0
  }

  /** Whether removing the super-journal `path` commits the transaction. */
  belongsTo(path: string): boolean {
    const { files, path: databasePath } = this.#database
    return this.active && namesSuperJournal(files, { fd: this.#fd, path: `${databasePath}-journal` }, path)
  }

  databaseWritten(position: number, length: number): void {
    const size = this.#database.pageSize
    if (size === 0) return
    const last = Math.floor((position + length - 1) / size) + 1
    for (let pgno = Math.floor(position / size) + 1; pgno <= last; pgno++) this.#dirty.add(pgno)
  }

  /** What is cut off and then grows again reads as zeros, so it was written. */
  databaseTruncated(sizeBytes: number): void {
    const size = this.#database.pageSize
    if (size > 0) this.#leftPages = Math.min(this.#leftPages, Math.floor(sizeBytes / size))
  }

  /** SQLite asks for an fsync of the database file. The log makes the transaction durable when it ends. */
  syncRequested(): void {
    this.#durable = true
  }

  /**
   * Ends the journal by `perform`. Before that, the change is in the log, durably if SQLite asked for that. If either
   * step fails, the journal stays valid, and the tracker follows whatever SQLite does next.
   * @returns whether the log holds the transaction durably: then the journal's end need not be durable, because
   * recovery finishes it.
   */
  end(perform: () => void, caller: Caller): boolean {
    const { active } = this
    const durable = this.#durable
    const fd = this.#fd
    const committed = this.finish(caller)
    try {
      perform()
      return committed && durable
    } catch (error) {
      this.active = active
      this.#fd = fd
      this.#durable = durable
      this.#isCaptured = committed
      throw error
    }
  }

  /**
   * Captures what the journal protected, durably if SQLite asked for that. If this throws, the journal must stay. False
   * if nothing had changed. `isDecided`: its super-journal is gone, so it is committed.
   */
  finish(caller?: Caller, isDecided = false): boolean {
    if (!this.active) return false
    const { appended } = this.#database
    const committed = this.#capture(caller, isDecided)
    if (committed) assertLogged(this.#database, appended)
    else if (this.#durable) this.#makeDurable()
    this.forget()
    if (committed) this.#database.publish()
    return committed
  }

  forget(): void {
    this.#forgetCopied()
    this.active = false
    this.#fd = -1
    this.#durable = false
    this.#dirty.clear()
    this.#leftPages = Infinity
  }

  /** The database ends, or its file does. */
  abandon(): void {
    this.forget()
    this.epoch++
  }

  #forgetCopied(): void {
    const { files, logDir } = this.#database
    if (this.isCopied && logDir !== undefined) forgetCopiedJournal(files, logDir)
    this.isCopied = false
  }

  #makeDurable(): void {
    this.#database.syncLog()
    this.#syncRestored()
  }

  /**
   * The log holds only pages that the transaction changed. A page that was written and then restored is in no
   * transaction, so no replay would repair it: only an fsync of the file protects it from the content that was spilled.
   */
  #syncRestored(): void {
    if (this.#restored) this.syncFile()
  }

  /** Fsyncs the database file if SQLite asked for that within this transaction. */
  syncFile(): void {
    const database = this.#database
    const durable = this.#durable
    if (durable) database.withFile((fd) => database.files.sync(fd))
  }

  /** False if nothing differs from the committed state. */
  #capture(caller: Caller | undefined, decided: boolean): boolean {
    const database = this.#database
    const durable = this.#durable
    this.#restored = false
    const { authority, expectations, position } = database
    const announced = authority.leads ? undefined : expectations.next(position.txid)
    const state = database.fileState(announced)
    if (state === undefined) {
      if (database.tracked) throw rejectDamaged(database.events, database.name)
      return false
    }
    const { header, filePages } = state
    const commit = announced?.commit ?? state.sizePages
    // SQLite makes the file as long as its header says, except where the last page is the lock page.
    if (commit > filePages + 1) throw rejectGrowth(database.events, database.name, commit)
    if (!database.tracked || header.pageSize !== database.pageSize) {
      database.importFile(commit, { durable, decided })
      return true
    }
    // A hole makes the file as long as anybody likes.
    if (announced === undefined) assertGrowth(database, this.#dirty.size, commit)
    const pgnos = this.#changed(commit)
    this.#restored = this.#dirty.countUpTo(commit) > pgnos.length
    if (pgnos.length === 0 && commit === database.pages.sizePages) return false
    if (this.#isForeignRollback(caller)) return false
    // Before the log: it must not make the acknowledgement late.
    this.#syncRestored()
    database.commit({ commit, pgnos, read: (pgno) => database.readFile(pgno), durable, decided })
    database.walMode = header.journalMode === 'wal'
    return true
  }

  /**
   * Whether the local client has just rolled back what an application left when this node stopped leading, or what the
   * log holds of its own. Pages that SQLite does not journal remain as that application wrote them. Neither is a
   * transaction of the primary's history: the client finds it and has the database replaced.
   */
  #isForeignRollback(caller: Caller | undefined): boolean {
    const { authority, expectations, position, events, name } = this.#database
    if (authority.leads || caller === undefined || !authority.isClient(caller)) return false
    if (!this.#begunLeading && !this.#isCaptured) return false
    if (expectations.next(position.txid) !== undefined) return false
    const message =
      'a rollback on a replica left pages that differ from the primary’s: the local client replaces the database'
    events.log('warn', message, { database: name })
    return true
  }

  /** Pages written or cut off since the journal began that differ from their committed version, and all new ones. */
  #changed(commit: number): Uint32Array {
    const database = this.#database
    const { pages, pageSize } = database
    const lock = lockPgno(pageSize)
    const kept = Math.min(pages.sizePages, this.#leftPages)
    for (let pgno = kept + 1; pgno <= commit; pgno++) this.#dirty.add(pgno)
    return this.#dirty
      .sorted()
      .filter(
        (pgno) =>
          pgno <= commit && pgno !== lock && pageChecksum(pgno, database.readFile(pgno)) !== pages.checksum(pgno),
      )
  }
}
