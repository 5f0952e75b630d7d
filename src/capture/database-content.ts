import type { Caller, HeldReply } from '../fuse/content.ts'
import { UndecidedError } from '../fuse/errno.ts'
import { isWriter } from '../fuse/tree/open-files.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import { DATABASE_MAGIC_SIZE, foreignVersions, hasDatabaseMagic } from '../sqlite/database-header.ts'
import { beginningAfter } from './beginning.ts'
import { checkpointWrite } from './checkpoint-write.ts'
import { PlainContent } from './contents.ts'
import type { Database } from './database.ts'
import { importCopied } from './import.ts'
import { rejectForeign, rejectMoved, rejectUnjournaled, rejectUnserved, rejectWritable } from './rejection.ts'
import type { Replacement } from './replacement.ts'
import { UncapturedWrites } from './uncaptured-writes.ts'
import { journaledWrite } from './unreplicated.ts'

/** The main file. Until the database has a committed state, it is served as a plain file. */
export class DatabaseContent extends PlainContent {
  #database: Database
  #uncaptured: UncapturedWrites
  /** The name was removed or belongs to another file: nothing is captured here any more. */
  #detached = false
  /** The file was renamed while it was open: a write would be one to the database of the new name. */
  #isMoved = false
  /** The file begins as a database does. */
  #isReadable = false
  #handles = 0
  #isOpening = false
  readonly #closed: (database: Database) => void

  /** `closed` is called when the last handle is released. */
  constructor(database: Database, fd: number, closed: (database: Database) => void) {
    super(database.files, fd)
    this.#database = database
    this.#closed = closed
    this.#uncaptured = new UncapturedWrites(database)
    database.file.fd = fd
  }

  override opened(flags: number, caller: Caller): void {
    const { rejection: reason, name, replacing } = this.#database
    if (reason !== undefined) throw rejectUnserved(this.#database.events, name, reason, caller)
    this.#assertOpenable(flags, caller)
    replacing.opening(flags)
    if (this.#replacement !== undefined) replacing.join(flags, caller)
    else this.#open(flags, caller)
    this.#handles++
  }

  /** Throws FsError for an open for writing that a replica rejects, or that waits for this node's role. */
  #assertOpenable(flags: number, caller: Caller): void {
    const { authority, tracked, events, name } = this.#database
    const { withheld } = authority
    // It would be an empty database to whoever opens it.
    if (withheld !== undefined && !tracked && !authority.isClient(caller))
      throw rejectUnserved(events, name, withheld, caller)
    if (!tracked || authority.leads || !isWriter(flags) || authority.isClient(caller)) return
    const { opensReadOnly = false, awaiting = 'nothing' } = authority
    const reject = () => rejectWritable(events, name, caller)
    if (awaiting === 'opens' || (opensReadOnly && awaiting === 'writes')) throw new UndecidedError(reject)
    if (opensReadOnly) throw reject()
  }

  #open(flags: number, caller: Caller): void {
    this.#isOpening = true
    try {
      super.opened(flags, caller)
    } finally {
      this.#isOpening = false
    }
  }

  override read(into: Uint8Array, at: number, length: number, position: number): number {
    return this.#replacement?.read(into, at, length, position) ?? super.read(into, at, length, position)
  }

  override write(data: Uint8Array, position: number, caller: Caller): void {
    const database = this.#database
    if (this.#isMoved) throw rejectMoved(database.events, database.name, caller)
    const replacement = this.#replacement
    if (replacement !== undefined) return database.replacing.write(replacement, data, position, caller)
    if (!database.authority.leads && !this.#detached && !this.#restores(data, position)) {
      // A plain file may be written on a replica until it begins with a database header.
      if (database.tracked || this.#getsMagic(data, position)) database.assertWriter(caller)
    }
    const versions = position === 0 && !this.#detached ? foreignVersions(data) : undefined
    if (versions !== undefined) throw rejectForeign(database.events, database.name, versions, caller)
    if (this.#detached || (!database.tracked && database.journal.active)) {
      if (!this.#detached && !this.#isReadable) this.#begins(data, position, caller)
      super.write(data, position, caller)
    } else if (!database.tracked) {
      this.#uncaptured.assertCapturable(caller)
      super.write(data, position, caller)
      this.#uncaptured.written(() => !this.#detached && this.#handles > 0)
    } else if (database.journal.active) {
      // First: a write that fails may have changed any part of them.
      database.journal.databaseWritten(position, data.length)
      super.write(data, position, caller)
    } else if (database.hasWal) {
      checkpointWrite(database, data, position, caller, () => super.write(data, position, caller))
    } else {
      throw rejectUnjournaled(database.events, database.name, caller)
    }
  }

  override truncate(sizeBytes: number, caller: Caller): void {
    const database = this.#database
    if (this.#isMoved) throw rejectMoved(database.events, database.name, caller)
    const replacement = this.#replacement
    if (replacement !== undefined) return replacement.truncate(sizeBytes)
    if (this.#detached) return super.truncate(sizeBytes, caller)
    if (!database.tracked) {
      super.truncate(sizeBytes, caller)
      if (sizeBytes > 0) return
      this.#isReadable = false
      database.unreplicated?.remove(database.name)
      return
    }
    const { pages, pageSize, journal, hasWal } = database
    const committedBytes = pages.sizePages * pageSize
    const isRollback = journal.active && sizeBytes === committedBytes
    if (!isRollback) database.assertWriter(caller)
    // SQLite never leaves a database with a committed state empty.
    if (sizeBytes === 0) return database.replacing.begin(caller, this.#others())
    const mayCut = journal.active || sizeBytes >= committedBytes || (hasWal && pages.mayCut(sizeBytes / pageSize))
    if (!mayCut) throw rejectUnjournaled(database.events, database.name, caller)
    if (journal.active) journal.databaseTruncated(sizeBytes)
    super.truncate(sizeBytes, caller)
  }

  /** A captured commit is durable through the log. A background job syncs the file itself. */
  override sync(dataOnly: boolean): HeldReply | undefined {
    const database = this.#database
    if (this.#replacement !== undefined) return void this.#replacement.sync()
    if (this.#detached || (!database.journal.active && !database.tracked)) {
      this.#uncaptured.synced()
      return super.sync(dataOnly)
    }
    if (!database.journal.active) return database.beginLogSync()
    database.journal.syncRequested()
    return undefined
  }

  override released(_flags: number, openHandles: number, openWriters: number): void {
    const database = this.#database
    this.#handles = openHandles
    if (this.#detached) return
    if (openWriters === 0 && this.#replacement !== undefined) database.replacing.closed()
    if (openWriters === 0 && this.#uncaptured.any && !database.tracked) this.#importCopied()
    if (openHandles > 0) return
    database.file.fd = -1
    database.closeIdle()
    this.#closed(database)
  }

  #begins(data: Uint8Array, position: number, caller: Caller): void {
    const beginning = beginningAfter(this.files, this.fd, data, position, DATABASE_MAGIC_SIZE)
    this.#isReadable = hasDatabaseMagic(beginning)
    journaledWrite(this.#database, beginning, position + data.length, caller)
  }

  /** Whether the file begins as a database does once `data` is in it. */
  #getsMagic(data: Uint8Array, position: number): boolean {
    if (position >= DATABASE_MAGIC_SIZE) return false
    return hasDatabaseMagic(beginningAfter(this.files, this.fd, data, position, DATABASE_MAGIC_SIZE))
  }

  /** Whether `data` restores pages to their committed versions: a rollback, which is allowed on a replica too. */
  #restores(data: Uint8Array, position: number): boolean {
    const { pageSize, pages, journal } = this.#database
    if (!journal.active || pageSize === 0 || position % pageSize !== 0 || data.length % pageSize !== 0) return false
    for (let at = 0; at < data.length; at += pageSize) {
      const pgno = (position + at) / pageSize + 1
      if (pageChecksum(pgno, data.subarray(at, at + pageSize)) !== pages.checksum(pgno)) return false
    }
    return true
  }

  sizeBytes(): number | undefined {
    return this.#replacement?.sizeBytes
  }

  takeStale(): boolean {
    return !this.#detached && this.#database.replacing.takeStale()
  }

  /** `isMoved`: the file has another name now, so nothing may be written here. */
  detach(isMoved = false): void {
    this.#detached = true
    this.#isMoved = isMoved
    this.#database.file.fd = -1
  }

  /** A file that is no database yet was renamed while it is open: it may become `database`. */
  rename(database: Database): void {
    this.#database.file.fd = -1
    this.#database = database
    database.file.fd = this.fd
    const { any } = this.#uncaptured
    this.#uncaptured.any = false
    this.#uncaptured = new UncapturedWrites(database)
    if (any) this.#uncaptured.written(() => !this.#detached && this.#handles > 0)
  }

  get #replacement(): Replacement | undefined {
    return this.#detached ? undefined : this.#database.replacing.current
  }

  /** How many handles are open besides the caller's. An open is not counted yet, and a truncation by name opens one. */
  #others(): number {
    return this.#handles - (this.#isOpening ? 0 : 1)
  }

  /** A file written without a journal, by cp or VACUUM INTO, becomes a database when its last writer closes it. */
  #importCopied(): void {
    this.#uncaptured.any = false
    importCopied(this.#database)
  }
}
