import type { Caller, HeldReply } from '../fuse/content.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import { foreignVersions, hasDatabaseMagic } from '../sqlite/database-header.ts'
import { checkpointWrite } from './checkpoint-write.ts'
import { PlainContent } from './contents.ts'
import type { Database } from './database.ts'
import { rejectForeign, rejectMoved, rejectUnjournaled, rejectUnserved } from './rejection.ts'

/** The main file. Until the database has a committed state, it is served as a plain file. */
export class DatabaseContent extends PlainContent {
  #database: Database
  #written = false
  /** The name was removed or belongs to another file: nothing is captured here any more. */
  #detached = false
  /** The file was renamed while it was open: a write would be one to the database of the new name. */
  #isMoved = false
  readonly #closed: (database: Database) => void

  /** `closed` is called when the last handle is released. */
  constructor(database: Database, fd: number, closed: (database: Database) => void) {
    super(database.files, fd)
    this.#database = database
    this.#closed = closed
    database.file.fd = fd
  }

  override opened(flags: number, caller: Caller): void {
    const { rejection: reason, name } = this.#database
    if (reason !== undefined) throw rejectUnserved(this.#database.events, name, reason, caller)
    super.opened(flags, caller)
  }

  override write(data: Uint8Array, position: number, caller: Caller): void {
    const database = this.#database
    if (this.#isMoved) throw rejectMoved(database.events, database.name, caller)
    if (!database.authority.leads && !this.#detached && !this.#restores(data, position)) {
      // A plain file may be written on a replica until it begins with a database header.
      if (database.tracked || (position === 0 && hasDatabaseMagic(data))) database.assertWriter(caller)
    }
    const versions = position === 0 && !this.#detached ? foreignVersions(data) : undefined
    if (versions !== undefined) throw rejectForeign(database.events, database.name, versions, caller)
    if (this.#detached || !database.tracked) {
      super.write(data, position, caller)
      this.#written = true
    } else if (database.journal.active) {
      super.write(data, position, caller)
      database.journal.databaseWritten(position, data.length)
    } else if (database.hasWal) {
      checkpointWrite(database, data, position, caller, () => super.write(data, position, caller))
    } else {
      throw rejectUnjournaled(database.events, database.name, caller)
    }
  }

  override truncate(sizeBytes: number, caller: Caller): void {
    const database = this.#database
    if (this.#isMoved) throw rejectMoved(database.events, database.name, caller)
    if (this.#detached || !database.tracked) return super.truncate(sizeBytes, caller)
    const { pages, pageSize, journal, hasWal } = database
    const committedBytes = pages.sizePages * pageSize
    const isRollback = journal.active && sizeBytes === committedBytes
    if (!isRollback) database.assertWriter(caller)
    // SQLite never leaves a database with a committed state empty.
    const mayCut = journal.active
      ? sizeBytes > 0
      : sizeBytes >= committedBytes || (hasWal && pages.mayCut(Math.floor(sizeBytes / pageSize)))
    if (!mayCut) throw rejectUnjournaled(database.events, database.name, caller)
    super.truncate(sizeBytes, caller)
  }

  /** A captured commit is durable through the log. A background job syncs the file itself. */
  override sync(dataOnly: boolean): HeldReply | undefined {
    const database = this.#database
    if (this.#detached || (!database.journal.active && !database.tracked)) return super.sync(dataOnly)
    if (!database.journal.active) return database.beginLogSync()
    database.journal.syncRequested()
    return undefined
  }

  override released(_flags: number, openHandles: number, openWriters: number): void {
    const database = this.#database
    if (this.#detached) return
    if (openWriters === 0 && this.#written && !database.tracked && !database.journal.active) this.#importCopied()
    if (openHandles > 0) return
    database.file.fd = -1
    database.closeIdle()
    this.#closed(database)
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
  }

  /** A file written without a journal, by cp or VACUUM INTO, becomes a database when its last writer closes it. */
  #importCopied(): void {
    this.#written = false
    this.#database.importIfWhole()
  }
}
