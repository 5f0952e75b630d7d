import type { WalHeader } from '../sqlite/wal.ts'
import { frameOffset, WAL_HEADER_SIZE } from '../sqlite/wal.ts'
import type { CapturedDatabase } from './captured-database.ts'
import { rejectUncaptured } from './wal-rejection.ts'

/** The end of the committed frames in a wal-index. */
export interface IndexedFrames {
  readonly maxFrame: number
  readonly salt1: number
  readonly salt2: number
}

/** What was captured of a WAL. */
interface CapturedFrames {
  readonly header: WalHeader
  readonly committedEnd: number
}

/** A database with a WAL that is watched. */
interface WatchedDatabase extends CapturedDatabase {
  readonly wal: { readonly captured: CapturedFrames | undefined }
}

/**
 * Compares what is committed by the wal-index, as the local client reads it through the mount, with what was captured.
 * A commit is captured before SQLite publishes it, so an index that is ahead means that capture has missed commits:
 * from then on writes to the WAL are rejected.
 */
export class WalWatch {
  readonly #database: WatchedDatabase
  #isBlind = false
  /** For how many transactions a turn was requested. */
  #awaited = -1

  constructor(database: WatchedDatabase) {
    this.#database = database
  }

  /** Capture has missed commits of the WAL that is open. */
  get isBlind(): boolean {
    return this.#isBlind
  }

  /** The wal-index was read before this call, under a lock that keeps the WAL in its place. */
  indexed(index: IndexedFrames): void {
    const { tracked, authority } = this.#database
    if (this.#isBlind || !tracked || !authority.leads || !this.#isAhead(index)) return
    this.#isBlind = true
    rejectUncaptured(this.#database, index.maxFrame)
  }

  /** Throws FsError if capture has missed commits. */
  assertSound(): void {
    if (this.#isBlind) throw rejectUncaptured(this.#database)
  }

  /** Another WAL is open, or this one from its beginning. */
  forget(): void {
    this.#isBlind = false
  }

  /** The WAL was written, and nothing was captured. If that stays so for a second, the wal-index is to be read. */
  written(): void {
    const database = this.#database
    if (this.#awaited === database.appended) return
    const { appended } = database
    this.#awaited = appended
    database.events.later(() => {
      if (database.appended === appended && database.walFd >= 0) database.events.unexplained(database)
      this.#awaited = -1
    })
  }

  #isAhead({ maxFrame, salt1 }: IndexedFrames): boolean {
    if (maxFrame === 0) return false
    const { captured } = this.#database.wal
    if (captured === undefined) return true
    const { header, committedEnd } = captured
    // Each new WAL in the same file has the next salt. The one that is captured may have begun since.
    if (header.salt1 !== salt1) return (header.salt1 - salt1) >>> 31 === 1
    return frameOffset(maxFrame, header.pageSize) > Math.max(committedEnd, WAL_HEADER_SIZE)
  }
}
