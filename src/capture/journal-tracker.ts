import type { Caller } from '../fuse/content.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import type { Pgno } from '../ltx/format/types.ts'
import { lockPgno } from '../ltx/format/types.ts'
import { assertLogged } from './acknowledgement.ts'
import type { CapturedDatabase } from './captured-database.ts'
import { refuseDamaged } from './refusal.ts'

/**
 * Follows a transaction in rollback mode. From the moment the journal has a valid header until it ends (by unlink, truncation,
 * or a header that is overwritten) SQLite may change the database file in place. At that end, what differs
 * from the last committed state is the transaction: nothing after a rollback, except free-list leaves, which SQLite does not
 * restore and which are therefore a transaction of their own.
 */
export class JournalTracker {
  readonly #database: CapturedDatabase
  readonly #dirty = new Set<Pgno>()
  /** The journal protects the database file: changes in place are allowed. */
  active = false
  /** SQLite asked for the database file to be synced within this transaction. */
  #durable = false
  /** Some pages were written, but are as they were before. */
  #restored = false
  /** An application began the journal, while this node led. */
  #begunLeading = true

  constructor(database: CapturedDatabase) {
    this.#database = database
  }

  /** The journal has a valid header. */
  begin(): void {
    this.active = true
    this.#begunLeading = this.#database.authority.leads
  }

  databaseWritten(position: number, length: number): void {
    const size = this.#database.pageSize
    if (size === 0) return
    const last = Math.floor((position + length - 1) / size) + 1
    for (let pgno = Math.floor(position / size) + 1; pgno <= last; pgno++) this.#dirty.add(pgno)
  }

  /** SQLite wants the database file durable. What makes it so is the log, at the end of the transaction. */
  syncRequested(): void {
    this.#durable = true
  }

  /**
   * `perform` ends the journal. Before, everything that was changed is in the log, durably if that was asked for; if that fails, or
   * `perform` does, the journal stays, and what SQLite does about it is followed.
   * @returns whether the log has it durably: then the end itself need not be durable, for recovery finishes it.
   */
  end(perform: () => void, caller: Caller): boolean {
    const { active } = this
    const durable = this.#durable
    const committed = this.finish(caller)
    try {
      perform()
      return committed && durable
    } catch (error) {
      this.active = active
      this.#durable = durable
      throw error
    }
  }

  /** Captures what the journal protected. When it throws, the journal must stay. False when there was nothing to capture. */
  finish(caller: Caller): boolean {
    if (!this.active) return false
    const { appended } = this.#database
    const committed = this.#capture(caller)
    if (committed) assertLogged(this.#database, appended)
    if (this.#durable) this.#makeDurable()
    this.forget()
    if (committed) this.#database.publish()
    return committed
  }

  forget(): void {
    this.active = false
    this.#durable = false
    this.#dirty.clear()
  }

  /**
   * What the transaction changed, the log holds. A page that was written and then given back its old content is in no transaction, so no
   * replay would repair it: only the file's own fsync keeps what was spilled from coming back.
   */
  #makeDurable(): void {
    const database = this.#database
    database.syncLog()
    if (this.#restored) this.syncFile()
  }

  /** What SQLite asked for within this transaction, if it did: the database file itself is durable. */
  syncFile(): void {
    const database = this.#database
    const durable = this.#durable
    if (durable) database.withFile((fd) => database.files.sync(fd))
  }

  /** False when nothing differs. */
  #capture(caller: Caller): boolean {
    const database = this.#database
    this.#restored = false
    const state = database.fileState()
    if (state === undefined) {
      if (database.tracked) throw refuseDamaged(database.events, database.name)
      return false
    }
    const { header, sizePages: commit } = state
    if (!database.tracked || header.pageSize !== database.pageSize) {
      database.importFile()
      return true
    }
    const pgnos = this.#changed(commit)
    this.#restored = Array.from(this.#dirty).filter((pgno) => pgno <= commit).length > pgnos.length
    if (pgnos.length === 0 && commit === database.pages.sizePages) return false
    if (this.#isForeignRollback(caller)) return false
    database.commit({ commit, pgnos, read: (pgno) => database.readFile(pgno) })
    database.walMode = header.journalMode === 'wal'
    return true
  }

  /**
   * On a replica the local client has rolled back what an application left when the node ceased to lead. Pages that SQLite does not
   * journal stay as that application wrote them: no transaction of this history, and the client, which finds them, has the database replaced.
   */
  #isForeignRollback(caller: Caller): boolean {
    const { authority, expectations, position, events, name } = this.#database
    if (authority.leads || !this.#begunLeading || !authority.isClient(caller)) return false
    if (expectations.next(position.txid) !== undefined) return false
    events.log('warn', 'a rollback on a replica left pages that are not the primary’s', { database: name })
    return true
  }

  /** Pages written since the journal began that differ from their committed version, and all by which the file grew. */
  #changed(commit: number): Pgno[] {
    const database = this.#database
    const { pages, pageSize } = database
    const lock = lockPgno(pageSize)
    for (let pgno = pages.sizePages + 1; pgno <= commit; pgno++) this.#dirty.add(pgno)
    const candidates = Array.from(this.#dirty).sort((a, b) => a - b)
    return candidates.filter(
      (pgno) => pgno <= commit && pgno !== lock && pageChecksum(pgno, database.readFile(pgno)) !== pages.checksum(pgno),
    )
  }
}
