import type { Caller } from '../fuse/content.ts'
import type { Database } from './database.ts'
import { rejectUnjournaled } from './rejection.ts'
import { countIfEncrypted } from './unreplicated.ts'

/** For so many turns without a write a lock may last, before commits under it count as never ending. */
const LOCKED_TURNS = 3

/**
 * Writes without a journal to a file that is no database yet. cp, VACUUM INTO and a restore make one by them, and
 * close it: then it is imported. A connection in journal_mode MEMORY or OFF does the same, acknowledges one commit
 * after the other, and stays open. So the file is imported at the first quiet moment, as soon as it is a whole
 * database; from then on a write without a journal is rejected.
 */
export class UncapturedWrites {
  readonly #database: Database
  /** Something was written since the last import, or since the file is open. */
  any = false
  #writes = 0
  #isSynced = false
  #isAwaited = false
  #lockedTurns = 0

  constructor(database: Database) {
    this.#database = database
  }

  /** Throws FsError if commits cannot be captured, however long they go on. */
  assertCapturable(caller: Caller): void {
    const { events, name } = this.#database
    if (this.#lockedTurns >= LOCKED_TURNS) throw rejectUnjournaled(events, name, caller)
  }

  /** `isOpen`: whether the file is still open, and its own. */
  written(isOpen: () => boolean): void {
    this.any = true
    this.#writes++
    this.#isSynced = false
    this.#wait(isOpen)
  }

  /** An fsync ends a transaction: SQLite syncs the file at no other moment. */
  synced(): void {
    this.#isSynced = true
  }

  #wait(isOpen: () => boolean): void {
    if (this.#isAwaited) return
    this.#isAwaited = true
    const writes = this.#writes
    this.#database.events.later(() => {
      this.#isAwaited = false
      if (!isOpen() || !this.any || this.#database.tracked || this.#database.journal.active) return
      if (this.#writes !== writes) this.#wait(isOpen)
      else this.#quiet(isOpen)
    })
  }

  #quiet(isOpen: () => boolean): void {
    const database = this.#database
    const { authority, file, events, name } = database
    const check = file.check()
    if (check.looksEncrypted === true) countIfEncrypted(database, check)
    if (!authority.leads || !check.whole) return
    // A transaction under way has written a part of its pages, and may still be rolled back.
    if (!this.#isSynced && authority.isLocked?.(inodeOf(database)) === true) {
      if (++this.#lockedTurns < LOCKED_TURNS) return this.#wait(isOpen)
      const message =
        'a database is written without a journal, under a lock that does not end: it is not captured. Further writes ' +
        'are rejected until it is closed. Use journal_mode WAL, DELETE, TRUNCATE or PERSIST'
      return events.log('error', message, { database: name })
    }
    this.any = false
    this.#lockedTurns = 0
    database.importFile()
    const message =
      'a new database is written without a journal (journal_mode OFF or MEMORY): it was imported as it is now, and ' +
      'further writes without a journal are rejected. Use journal_mode WAL, DELETE, TRUNCATE or PERSIST'
    events.log('warn', message, { database: name })
  }
}

function inodeOf(database: Database): number {
  const identity = database.withFile((fd) => database.files.identity(fd))
  return Number(identity.split(':')[1])
}
