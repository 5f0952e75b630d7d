import fs from 'node:fs'
import type { Caller } from '../fuse/content.ts'
import { formatTXID } from '../ltx/format/types.ts'
import { errorMessage } from '../util/errors.ts'
import type { BackingFile } from './backing-file.ts'
import type { CapturedDatabase } from './captured-database.ts'
import type { FileTrust } from './file-trust.ts'
import { rejectBeingReplaced, rejectReplacement, rejectScattered } from './rejection.ts'
import { Replacement } from './replacement.ts'

/** A database whose file can be replaced. */
export interface ReplaceableDatabase extends CapturedDatabase {
  readonly file: BackingFile
  readonly trust: FileTrust
  readonly journal: { readonly active: boolean }
  readonly wal: { forget(): void }
  /** Commits the whole database that `fd` holds. Throws FsError; then nothing has changed. */
  commitWhole(fd: number): void
}

const O_ACCMODE = 3
const { O_TRUNC, O_WRONLY } = fs.constants

/**
 * The replacement of a database's file in place, by cp, a shell's `>`, fs.copyFile or a restore. It ends when its last
 * writer has closed the file: a database is committed as one transaction, and only then written into the file. Anything
 * else is discarded, so the file never holds a mixture, whenever the node dies.
 */
export class Replacing {
  readonly #database: ReplaceableDatabase
  #replacement: Replacement | undefined
  /** What the kernel has cached is of a replacement that was discarded. */
  #isStale = false
  #isAwaited = false
  #writers = 0

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
    this.#replacement = new Replacement(files, path, name)
    this.#writers = 1
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
    else if (this.#problem() === undefined && replacement.isDense) this.#finish()
    else this.#wait(replacement)
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
    const { walFd, journal, pages, files, path, authority } = this.#database
    if (others > 0 || walFd >= 0) return 'another connection has it open'
    if (journal.active) return 'a transaction is to be rolled back first: open it with SQLite once'
    const isWalLeft = files.exists(`${path}-wal`) && (files.status(`${path}-wal`)?.size ?? 0) > 0
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
      const problem = this.#problem()
      if (replacement.writes !== writes) this.#wait(replacement)
      else if (problem === undefined) this.#finish()
      else this.#discard(problem)
    }
    this.#database.events.later(decide)
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
      this.#end(replacement)
    }
    database.publish()
    const { name, events, position } = database
    events.log('info', 'a database was replaced in place', { database: name, txid: formatTXID(position.txid) })
  }

  #discard(reason: string): void {
    const { events, name } = this.#database
    this.#end(this.#replacement as Replacement)
    this.#isStale = true
    const message = `a replacement of the database was discarded: ${reason}. It has its former content`
    events.log('error', message, { database: name })
  }

  #end(replacement: Replacement): void {
    this.#replacement = undefined
    replacement.discard()
    this.#database.events.resized(this.#database)
  }
}
