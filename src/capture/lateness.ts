import type { HeldReply } from '../fuse/content.ts'
import type { FsError } from '../fuse/errno.ts'
import type { CapturedDatabase } from './captured-database.ts'
import { rejectExpired } from './rejection.ts'
import type { Transactions } from './transactions.ts'

/**
 * The deadline of the lease under which a database was committed to, until the commit is acknowledged (I6). It is
 * compared when the commit begins, and again at the last moment before it is acknowledged: logging it may have taken
 * longer than the lease lasts, or the process may have been stopped meanwhile.
 */
export class Lateness {
  readonly #database: Pick<CapturedDatabase, 'authority' | 'events' | 'name'>
  /** 0 while nothing waits for its acknowledgement. */
  #deadlineNs = 0n
  readonly confirm = () => this.assertInTime()

  constructor(database: Pick<CapturedDatabase, 'authority' | 'events' | 'name'>) {
    this.#database = database
  }

  /** A commit begins. Throws FsError if the lease has expired. */
  begin(): void {
    const { authority } = this.#database
    if (!authority.leads) return
    if (!authority.mayCommit()) throw this.#rejection()
    this.#deadlineNs = authority.deadlineNs
  }

  /** Throws FsError, once, if the commit must not be acknowledged any more. */
  assertInTime(): void {
    if (this.#deadlineNs === 0n || this.#database.authority.mayAcknowledge(this.#deadlineNs)) return
    this.#deadlineNs = 0n
    throw this.#rejection()
  }

  /** Nothing waits for its acknowledgement. */
  end(): void {
    this.#deadlineNs = 0n
  }

  /** Begins an fsync of the log, whose end acknowledges what was committed. Throws FsError if it comes too late. */
  sync(transactions: Transactions): HeldReply | undefined {
    const { isUnsynced } = transactions
    const held = transactions.beginSync(this.#deadlineNs)
    if (held === undefined && isUnsynced) this.assertInTime()
    this.#deadlineNs = 0n
    return held
  }

  #rejection(): FsError {
    return rejectExpired(this.#database.events, this.#database.name)
  }
}
