import fs from 'node:fs'
import type { Caller } from '../fuse/content.ts'
import type { CopiedWith } from '../log/copied-journal.ts'
import { formatTXID, type TXID } from '../ltx/format/types.ts'
import { errorMessage } from '../util/errors.ts'
import { withFile } from '../util/files.ts'
import type { BackingFile } from './backing-file.ts'
import type { CapturedDatabase } from './captured-database.ts'
import type { FileTrust } from './file-trust.ts'
import { rejectBeingReplaced, rejectReplacement, rejectScattered } from './rejection.ts'
import { Replacement } from './replacement.ts'

/** A database whose file can be replaced. */
export interface ReplaceableDatabase extends CapturedDatabase {
  readonly file: BackingFile
  readonly trust: FileTrust
  readonly journal: JournalOfReplacement
  readonly wal: { forget(): void }
  /** Commits the whole database that `fd` holds. Throws FsError; then nothing has changed. */
  commitWhole(fd: number): void
  readonly copied: { readonly hasWal: boolean; adoptWal(): void }
}

/** One that was copied in while, or before, the file is replaced is that of the replacement. */
interface JournalOfReplacement {
  readonly active: boolean
  readonly isCopied: boolean
  readonly isOpen: boolean
  expectCopied(copiedWith: CopiedWith): void
  forget(): void
}

const O_ACCMODE = 3
const { O_RDWR, O_TRUNC, O_WRONLY } = fs.constants

/**
 * The replacement of a database's file in place, by cp, a shell's `>`, fs.copyFile or a restore. It ends when its last
 * writer has closed the file: a database is committed as one transaction, and only then written into the file. Anything
 * else is discarded, so the file never holds a mixture, whenever the node dies.
 */
export class Replacing {
  readonly #database: ReplaceableDatabase
  #replacement: Replacement | undefined
  /** What the kernel has cached is of a replacement that was discarded, or rolled back. */
  #isStale = false
  #isAwaited = false
  #writers = 0
  /** The last transaction when a replacement was discarded whose journal may be yet to come. */
  #discardedAt: TXID | undefined

  constructor(database: ReplaceableDatabase) {
    this.#database = database
  }

  /** What is being written; undefined while nothing is. */
  get current(): Replacement | undefined {
    return this.#replacement
  }

  /** Begins if nobody else has the file open. `others`: how many handles have it open, besides the caller's. Throws. */
  begin(caller: Caller, others: number): void {
    const { events, name, files, path } = this.#database
    const obstacle = this.#obstacle(others)
    if (obstacle !== undefined) throw rejectReplacement(events, name, caller, obstacle)
    if (this.#hasJournal) this.#database.journal.expectCopied('replacement')
    this.#discardedAt = undefined
    this.#replacement = new Replacement(files, path, name)
    this.#writers = 1
  }

  /** Somebody opens the file who may read it. The replacement has come as a whole if its journal is there, too. */
  opening(flags: number): void {
    const replacement = this.#replacement
    const isReader = (flags & O_ACCMODE) !== O_WRONLY
    const isWhole = this.#writers === 0 && this.#hasJournal && !this.#database.journal.isOpen
    if (replacement !== undefined && isReader && isWhole) this.#settle(replacement)
  }

  /**
   * One more handle is opened meanwhile. Some programs write a file through several, one after the other; SQLite never
   * opens one only for writing. Readers would see a mixture of both contents, so they wait. Throws FsError.
   */
  join(flags: number, caller: Caller): void {
    const { events, name } = this.#database
    if ((flags & O_ACCMODE) !== O_WRONLY) throw rejectBeingReplaced(events, name, caller)
    this.#writers++
    if ((flags & O_TRUNC) !== 0) this.#replacement?.truncate(0)
  }

  /** Writes into the replacement. Throws FsError. */
  write(replacement: Replacement, data: Uint8Array, position: number, caller: Caller): void {
    const { events, name } = this.#database
    if (!replacement.write(data, position)) throw rejectScattered(events, name, caller, replacement.problem as string)
  }

  /** The last writer has closed the file. */
  closed(): void {
    const replacement = this.#replacement
    this.#writers = 0
    if (replacement === undefined) return
    if (replacement.sizeBytes === 0) this.#discard('nothing was written')
    else if (!this.#hasJournal && this.#problem() === undefined && replacement.isDense) this.#finish()
    else this.#wait(replacement)
  }

  /** The last replacement was discarded, and nothing was committed since: its journal may be yet to come. */
  get hasDiscarded(): boolean {
    return this.#discardedAt === this.#database.position.txid
  }

  /** The database is about to be dropped. */
  abandon(): void {
    if (this.#replacement !== undefined) this.#discard('the database was removed meanwhile')
  }

  takeStale(): boolean {
    const isStale = this.#isStale
    this.#isStale = false
    return isStale
  }

  #obstacle(others: number): string | undefined {
    const { walFd, copied, journal, pages, files, path, authority } = this.#database
    if (others > 0 || walFd >= 0) return 'another connection has it open'
    if (journal.active && !journal.isCopied) return 'a transaction is to be rolled back first: open it with SQLite once'
    // One that was copied in is that of the replacement.
    const isWalLeft = !copied.hasWal && files.exists(`${path}-wal`) && (files.status(`${path}-wal`)?.size ?? 0) > 0
    if (pages.pagesInWal > 0 || isWalLeft) return 'it has a WAL: open it with SQLite once'
    return authority.leads ? undefined : 'this node is a replica'
  }

  /** A program may go on with another handle: gives it a moment, and then takes what there is. */
  #wait(replacement: Replacement): void {
    if (this.#isAwaited) return
    this.#isAwaited = true
    const { writes } = replacement
    const decide = () => {
      this.#isAwaited = false
      if (this.#replacement !== replacement || this.#writers > 0) return
      if (replacement.writes !== writes || this.#database.journal.isOpen) return this.#wait(replacement)
      this.#settle(replacement)
    }
    this.#database.events.later(decide)
  }

  #settle(replacement: Replacement): void {
    const problem = this.#rollBack(replacement) ?? this.#problem()
    if (problem === undefined) return this.#finish()
    this.#discard(problem)
    this.#discardedAt = this.#database.position.txid
  }

  get #hasJournal(): boolean {
    return this.#database.journal.active && this.#database.journal.isCopied
  }

  /** A copy of a database within a transaction came with its journal: what was committed becomes the database. */
  #rollBack(replacement: Replacement): string | undefined {
    if (!this.#hasJournal) return undefined
    this.#isStale = true
    return replacement.rollBack(`${this.#database.path}-journal`)
  }

  /** What the replacement's journal restores is in the database, or was discarded with it. */
  #endJournal(isFinished: boolean, isUndecided: boolean): void {
    const { files, path, name, events, journal } = this.#database
    if (!this.#hasJournal) return
    if (isFinished && isUndecided) return journal.expectCopied('database')
    withFile(files, `${path}-journal`, O_RDWR, (fd) => files.truncate(fd, 0))
    events.mended(`${name}-journal`)
    journal.forget()
  }

  #problem(): string | undefined {
    const replacement = this.#replacement as Replacement
    const { whole, problem } = this.#database.file.checkOf(replacement.fd)
    return replacement.problem ?? (whole ? undefined : problem)
  }

  #finish(): void {
    const database = this.#database
    const replacement = this.#replacement as Replacement
    try {
      database.commitWhole(replacement.fd)
    } catch (error) {
      return this.#discard(errorMessage(error))
    }
    // A crash before this point is one before the transaction. From here on, recovery writes the file from the log.
    try {
      database.syncLog()
      database.trust.forget()
      database.wal.forget()
      database.withFile((fd) => replacement.copyInto(fd))
    } catch (error) {
      throw database.trust.rejectUnwritten(error)
    } finally {
      this.#end(replacement, true)
    }
    if (database.copied.hasWal) database.copied.adoptWal()
    database.publish()
    const { name, events, position } = database
    events.log('info', 'a database was replaced in place', { database: name, txid: formatTXID(position.txid) })
  }

  #discard(reason: string): void {
    const { events, name } = this.#database
    this.#end(this.#replacement as Replacement, false)
    this.#isStale = true
    const message = `a replacement of the database was discarded: ${reason}. It has its former content`
    events.log('error', message, { database: name })
  }

  #end(replacement: Replacement, isFinished: boolean): void {
    this.#replacement = undefined
    this.#endJournal(isFinished, replacement.isUndecided)
    replacement.discard()
    this.#database.events.resized(this.#database)
  }
}
