/** Plain files, WALs and journals: each passes reads and writes on to the backing file and informs the trackers. */

import fs from 'node:fs'
import type { Caller, FileContent, HeldReply } from '../fuse/content.ts'
import { FsError } from '../fuse/errno.ts'
import { isWriter } from '../fuse/tree/open-files.ts'
import { hasJournalMagic, JOURNAL_MAGIC_SIZE } from '../sqlite/journal.ts'
import { hasWalMagic, parseWalHeader, WAL_HEADER_SIZE } from '../sqlite/wal.ts'
import type { Files } from '../util/files.ts'
import { beginningAfter } from './beginning.ts'
import type { Database } from './database.ts'
import { importEncrypted } from './encrypted.ts'
import type { JournalName } from './journal-name.ts'
import { assertNoJournal, mayBegin } from './journal-rules.ts'
import { walWritten } from './unreplicated.ts'
import { rejectNameless } from './wal-rejection.ts'

const NOTHING = new Uint8Array(0)
/** A database is shared once this many connections have it open. */
const SHARED = 2

/** A file that is served without capture. */
export class PlainContent implements FileContent {
  protected readonly files: Files
  protected readonly fd: number

  constructor(files: Files, fd: number) {
    this.files = files
    this.fd = fd
  }

  opened(flags: number, caller: Caller): void {
    if ((flags & fs.constants.O_TRUNC) !== 0) this.truncate(0, caller)
  }

  read(into: Uint8Array, at: number, length: number, position: number): number {
    return this.files.read(this.fd, into, at, length, position)
  }

  write(data: Uint8Array, position: number, _caller: Caller): void {
    this.files.write(this.fd, data, 0, data.length, position)
  }

  truncate(sizeBytes: number, _caller: Caller): void {
    this.files.truncate(this.fd, sizeBytes)
  }

  sync(_dataOnly: boolean): HeldReply | undefined {
    this.files.sync(this.fd)
    return undefined
  }

  released(_flags: number, _openHandles: number, _openWriters: number): void {}
}

export class WalContent extends PlainContent {
  readonly #database: Database
  /**
   * Connections that have the database open in WAL mode. Counted on the WAL, because SQLite holds descriptors of the
   * database file open after a connection was closed, to preserve its POSIX locks.
   */
  #connections = 0
  /** The handle that wrote last while several connections had the WAL open. */
  #writer: number | undefined
  #hasSeveralWriters = false

  constructor(database: Database, fd: number) {
    super(database.files, fd)
    this.#database = database
    database.walFd = fd
  }

  /** A WAL copied in along with its database was not tracked while it was written: read it now. */
  override opened(flags: number, caller: Caller): void {
    if (this.#captured) this.#database.wal.unzeroed.retry()
    super.opened(flags, caller)
    if (isWriter(flags)) this.#trackWhole()
    const { wal, watch } = this.#database
    const isMissed = !wal.following || (watch.isBlind && this.#connections === 0)
    if (this.#captured && isMissed) this.#adopt()
    if (isWriter(flags) && ++this.#connections === SHARED) this.#database.events.sharing(this.#database, 'one-writer')
  }

  override read(into: Uint8Array, at: number, length: number, position: number): number {
    if (this.#captured) this.#database.wal.unzeroed.retry()
    return super.read(into, at, length, position)
  }

  override write(data: Uint8Array, position: number, caller: Caller, handle?: number): void {
    this.#database.assertWriter(caller)
    if (handle !== this.#writer) this.#noteWriter(handle)
    if (!this.#captured) this.#begins(data, position, caller)
    if (!this.#captured) {
      return super.write(data, position, caller)
    }
    const { wal, watch, appended } = this.#database
    watch.assertSound()
    assertNoJournal(this.#database, caller)
    if (this.#database.copied.isWritingWal) {
      this.#database.copied.walBegins()
      return super.write(data, position, caller)
    }
    // The database was imported while its WAL was open. A WAL that was removed is nobody's: nothing is added to it.
    if (!wal.following && position >= WAL_HEADER_SIZE && fs.fstatSync(this.fd).nlink > 0) this.#adopt()
    wal.write(data, position, () => super.write(data, position, caller))
    if (this.#database.appended === appended) watch.written()
  }

  override truncate(sizeBytes: number, caller: Caller): void {
    this.#database.assertWriter(caller)
    if (!this.#captured) return super.truncate(sizeBytes, caller)
    this.#database.wal.truncate(sizeBytes, () => super.truncate(sizeBytes, caller))
  }

  /** A commit is durable once its transaction is durable in the log: recovery replays it. */
  override sync(dataOnly: boolean): HeldReply | undefined {
    return this.#captured ? this.#database.beginLogSync() : super.sync(dataOnly)
  }

  override released(flags: number, openHandles: number, _openWriters: number): void {
    if (isWriter(flags) && this.#connections-- === SHARED) {
      this.#writer = undefined
      this.#hasSeveralWriters = false
      this.#database.events.sharing(this.#database, 'sole')
    }
    if (openHandles > 0 || this.#database.walFd !== this.fd) return
    this.#database.walFd = -1
    if (this.#database.tracked) this.#database.copied.walEnded()
  }

  /** The database lost its file: this is no longer its WAL. */
  detach(): void {
    if (this.#connections >= SHARED) this.#database.events.sharing(this.#database, 'sole')
    if (this.#database.walFd === this.fd) this.#database.walFd = -1
  }

  /**
   * A file that was made under journal_mode MEMORY or OFF has no committed state yet. No transaction is under way while
   * a connection opens its WAL, and whatever is committed there is captured.
   */
  #trackWhole(): void {
    const { tracked, authority, journal, file } = this.#database
    if (tracked || !authority.leads || journal.active) return
    if (file.check().whole) return void this.#database.importFile()
    const header = parseWalHeader(beginningAfter(this.files, this.fd, NOTHING, 0, WAL_HEADER_SIZE))
    if (header !== undefined) importEncrypted(this.#database, header.pageSize)
  }

  /** Captures what the file holds. */
  #adopt(): void {
    const { watch, wal, copied } = this.#database
    copied.hasWal = false
    watch.forget()
    wal.adopt(this.files.size(this.fd))
  }

  /** Nobody captures this WAL yet: it may be that of an encrypted database, whose history begins with it. */
  #begins(data: Uint8Array, position: number, caller: Caller): void {
    const database = this.#database
    if (database.tracked && database.authority.leads) throw rejectNameless(database)
    if (database.tracked || database.walFd !== this.fd) return
    const beginning = beginningAfter(this.files, this.fd, data, position, WAL_HEADER_SIZE)
    const header = position < WAL_HEADER_SIZE ? parseWalHeader(beginning) : undefined
    if (header !== undefined && importEncrypted(database, header.pageSize)) return
    if (database.unreplicated?.has(database.name) !== true && hasWalMagic(beginning)) walWritten(database, caller)
  }

  #noteWriter(handle: number | undefined): void {
    const isAnother = this.#writer !== undefined
    this.#writer = this.#connections < SHARED ? undefined : handle
    if (!isAnother || this.#hasSeveralWriters || this.#writer === undefined) return
    this.#hasSeveralWriters = true
    this.#database.events.sharing(this.#database, 'several-writers')
  }

  /** False after the WAL was removed under an open descriptor, and before the database has a committed state. */
  get #captured(): boolean {
    return this.#database.tracked && this.#database.walFd === this.fd
  }
}

export class JournalContent extends PlainContent {
  readonly #database: Database
  /** The transaction ended, the log holds it durably, and nothing was written since. */
  #isSuperseded = false
  #handles = 0
  readonly #epoch: number
  readonly #name: JournalName

  constructor(database: Database, fd: number, name: JournalName) {
    super(database.files, fd)
    this.#database = database
    this.#epoch = database.journal.epoch
    this.#name = name
  }

  /** The database to which the journal belonged has ended, whatever has its name now. */
  get #isForsaken(): boolean {
    return this.#database.journal.epoch !== this.#epoch
  }

  /**
   * A new journal on a replica is the beginning of an application's transaction. SQLite takes EACCES for a directory
   * that it may not write (SQLITE_READONLY_DIRECTORY), if there is no journal. A former primary may have left one, of a
   * transaction that has ended: it is removed, and ESTALE makes the kernel look the name up again. While the role
   * is not known, the first write to the journal waits: the kernel keeps a directory locked while a file is made in it.
   */
  override opened(flags: number, caller: Caller): void {
    if (this.#isForsaken) return super.opened(flags, caller)
    const { authority, tracked, journal } = this.#database
    const isReplica = !authority.leads && (authority.awaiting ?? 'nothing') === 'nothing'
    const isApplication = isWriter(flags) && tracked && isReplica && !authority.isClient(caller)
    if (isApplication && !journal.active && !hasJournalMagic(this.#beginning(NOTHING, 0))) {
      const isNew = (flags & fs.constants.O_CREAT) !== 0
      if (isNew || this.#handles > 0) this.#database.assertWriter(caller, 'EACCES')
      this.#name.remove()
      throw new FsError('ESTALE', 'the journal of a transaction that has ended was removed')
    }
    super.opened(flags, caller)
    this.#handles++
  }

  override released(_flags: number, openHandles: number): void {
    this.#handles = openHandles
    if (openHandles === 0) this.#database.journal.closed(this.fd, () => this.#name.restore(this.fd))
  }

  /** The database lost its file, or this its name. */
  detach(): void {
    this.#database.journal.letGo(this.fd)
  }

  /** The journal's first bytes decide whether it is valid, and they may arrive in any number of writes. */
  override write(data: Uint8Array, position: number, caller: Caller): void {
    const write = () => super.write(data, position, caller)
    const { journal } = this.#database
    const begins = position < JOURNAL_MAGIC_SIZE && hasJournalMagic(this.#beginning(data, position))
    if (this.#isForsaken || (!begins && journal.isOther(this.fd))) return write()
    const ends = position < JOURNAL_MAGIC_SIZE && !begins
    // SQLite writes the header first without its magic, while others still read, and again under its exclusive lock.
    const isFirst = position < JOURNAL_MAGIC_SIZE && !journal.active
    this.#isSuperseded = false
    if (ends) {
      this.#isSuperseded = journal.end(write, caller)
      if (isFirst) this.#began()
      return
    }
    this.#database.assertWriter(caller)
    if (begins) mayBegin(this.#database, this.fd, caller)
    try {
      write()
    } catch (error) {
      // What a failed write left may be a valid header, by which the next connection rolls back.
      if (begins && hasJournalMagic(this.#beginning(NOTHING, 0))) journal.begin(this.fd)
      else if (!journal.active) journal.forget()
      throw error
    }
    if (begins) journal.begin(this.fd)
    if (isFirst) this.#began()
  }

  #began(): void {
    const { authority, events } = this.#database
    if (authority.leads) events.begins?.(this.#database)
  }

  override truncate(sizeBytes: number, caller: Caller): void {
    const truncate = () => super.truncate(sizeBytes, caller)
    this.#isSuperseded = false
    const { journal } = this.#database
    const ends = sizeBytes < JOURNAL_MAGIC_SIZE && !this.#isForsaken && !journal.isOther(this.fd)
    if (ends) this.#isSuperseded = journal.end(truncate, caller)
    else truncate()
  }

  override sync(dataOnly: boolean): HeldReply | undefined {
    return this.#isSuperseded ? undefined : super.sync(dataOnly)
  }

  /** The file's first bytes as they will be after `data` is written at `position`. */
  #beginning(data: Uint8Array, position: number): Uint8Array {
    return beginningAfter(this.files, this.fd, data, position, JOURNAL_MAGIC_SIZE)
  }
}
