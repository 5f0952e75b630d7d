import assert from 'node:assert/strict'
import fs from 'node:fs'
import type { Caller, HeldReply } from '../fuse/content.ts'
import type { Logs } from '../log/logs.ts'
import type { LogWriter } from '../log/writer.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import type { Pgno, Position } from '../ltx/format/types.ts'
import type { DatabaseHeader } from '../sqlite/database-header.ts'
import { DATABASE_HEADER_SIZE, parseDatabaseHeader, sizePages } from '../sqlite/database-header.ts'
import { PageTable } from '../sqlite/page-table.ts'
import { FRAME_HEADER_SIZE, frameOffset } from '../sqlite/wal.ts'
import type { Files } from '../util/files.ts'
import type { Authority } from './authority.ts'
import { SOLE } from './authority.ts'
import type { CapturedDatabase } from './captured-database.ts'
import type { Change } from './change.ts'
import { pagesOf } from './change.ts'
import type { CaptureEvents } from './events.ts'
import { Expectations } from './expected.ts'
import { FileTrust } from './file-trust.ts'
import { JournalTracker } from './journal-tracker.ts'
import { refuseExpired, refuseReplica } from './refusal.ts'
import { Transactions } from './transactions.ts'
import { WalTracker } from './wal-tracker.ts'

export interface DatabaseOptions {
  readonly name: string
  /** Of the backing file. */
  readonly path: string
  readonly files: Files
  readonly events: CaptureEvents
  readonly nowMs: () => number
  /** Its log is opened, or created, when the first transaction is to be written. */
  readonly logs: Logs
  readonly nodeId: bigint
  /** Absent: a node of its own. */
  readonly authority?: Authority
}

/**
 * One database on the mount: what is committed, where its pages are, and the one way by which a change of it becomes a
 * transaction. Trackers see the writes and decide that something was committed; this class makes it so.
 */
export class Database implements CapturedDatabase {
  readonly name: string
  readonly path: string
  readonly files: Files
  readonly events: CaptureEvents
  readonly pages: PageTable
  readonly wal: WalTracker
  readonly journal: JournalTracker
  readonly trust: FileTrust
  /** Descriptors of the tree's, while the files are open; -1 otherwise. */
  fd = -1
  walFd = -1
  pageSize = 0
  /** Page 1 says WAL. */
  walMode = false
  /** Why this database is not served, if recovery gave up on it. */
  refusal: string | undefined
  readonly authority: Authority
  /** On a replica: what the local client announced. */
  readonly expectations = new Expectations()
  readonly #options: DatabaseOptions
  readonly #transactions: Transactions

  constructor(
    options: DatabaseOptions,
    state?: { log: LogWriter; pages: PageTable; pageSize: number; walMode: boolean },
  ) {
    this.#options = options
    this.name = options.name
    this.path = options.path
    this.files = options.files
    this.events = options.events
    this.authority = options.authority ?? SOLE
    this.pages = state?.pages ?? new PageTable()
    this.pageSize = state?.pageSize ?? 0
    this.walMode = state?.walMode ?? false
    const { name, files, events, logs } = options
    const readPage = (pgno: Pgno) => this.readPage(pgno)
    this.#transactions = new Transactions({ name, files, events, logs, pages: this.pages, readPage }, state?.log)
    this.wal = new WalTracker(this)
    this.journal = new JournalTracker(this)
    this.trust = new FileTrust(this, this.journal)
  }

  /** Whether its changes are captured: it has a committed state with pages. */
  get tracked(): boolean {
    return this.pages.sizePages > 0
  }

  /**
   * The file is written without a journal, by checkpoints. On a replica also where the newest page 1 says otherwise: that came
   * through the WAL, which counts until it is folded into the file.
   */
  get hasWal(): boolean {
    return this.walMode || this.wal.following
  }

  get hasLog(): boolean {
    return this.#transactions.hasLog
  }

  get logDir(): string | undefined {
    return this.#transactions.logDir
  }

  get lastTimestampMs(): number {
    return this.#transactions.lastTimestampMs
  }

  set lastTimestampMs(timestampMs: number) {
    this.#transactions.lastTimestampMs = timestampMs
  }

  get position(): Position {
    return this.#transactions.position
  }

  get appended(): number {
    return this.#transactions.appended
  }

  /** The position up to which the database file holds everything, or undefined while pages are in the WAL only. */
  get backfilled(): Position | undefined {
    return this.pages.pagesInWal === 0 ? this.position : undefined
  }

  /**
   * Makes `change` the next transaction: in the log, then in the tables, then known to others. On failure nothing has changed. A replica takes
   * only what was announced, and a primary nothing once its lease has run out (I5, I6): both throw FsError.
   */
  commit(change: Change): void {
    this.trust.assertSound()
    this.trust.begin()
    if (this.authority.leads) {
      if (!this.authority.mayCommit()) throw refuseExpired(this.events, this.name)
      const { nowMs, nodeId } = this.#options
      const timestampMs = Math.max(nowMs(), this.lastTimestampMs)
      return this.#transactions.append(change, this.pageSize, { timestampMs, nodeId })
    }
    const { expectations, position } = this
    const expected = expectations.next(position.txid)
    if (expected === undefined) throw refuseReplica(this.events, this.name)
    const { timestampMs, nodeId } = expected
    const stamp = { timestampMs, nodeId, checksum: expected.position.checksum }
    if (expected.replaces === undefined) this.#transactions.append(change, this.pageSize, stamp)
    else this.#transactions.replace(change, this.pageSize, expected, stamp)
    expectations.met(expected)
  }

  /** Refuses what only a primary's application, or the local client on a replica, may do (I5). */
  assertWriter(caller: Caller): void {
    const { authority } = this
    if (!authority.leads && !authority.isClient(caller)) throw refuseReplica(this.events, this.name, caller)
  }

  /** Nobody has it open. */
  rest(): void {
    this.#transactions.rest()
  }

  /** Everything committed so far survives a power loss when this returns. */
  syncLog(): void {
    this.#transactions.sync()
  }

  /** The same, but it may have only been begun: then what is returned answers who asked for it. */
  beginLogSync(): HeldReply | undefined {
    return this.#transactions.beginSync()
  }

  publish(): void {
    this.events.published(this)
  }

  /** Takes the file as it lies as the next transaction. The caller made sure that no journal is open on it. */
  importFile(): Position {
    return this.withFile((fd) => {
      const header = this.readHeader(fd)
      assert.ok(header !== undefined, 'only a valid database is imported')
      const commit = sizePages(header, this.files.size(fd))
      const previous = this.pageSize
      this.pageSize = header.pageSize
      const pgnos = pagesOf(commit, header.pageSize)
      try {
        this.commit({ commit, pgnos, read: (pgno) => this.#readFrom(fd, pgno), whole: true })
      } catch (error) {
        this.pageSize = previous
        throw error
      }
      this.walMode = header.journalMode === 'wal'
      this.publish()
      return this.position
    })
  }

  /** The same for a file that nobody vouches for: what is no whole database stays a plain file, which is said. False then. */
  importIfWhole(): boolean {
    const state = this.fileState()
    const sizeBytes = this.files.exists(this.path) ? this.withFile((fd) => this.files.size(fd)) : 0
    if (state !== undefined && state.sizePages > 0 && sizeBytes >= state.sizePages * state.header.pageSize) {
      this.importFile()
      return true
    }
    if (sizeBytes > 0) {
      const problem =
        state === undefined ? 'it does not begin with a SQLite header' : 'it is shorter than its header says'
      this.events.log('warn', `not a SQLite database: ${problem}. Served as a plain file, not replicated`, {
        file: this.name,
      })
    }
    return false
  }

  /** The database is not part of the primary's history: its file is about to be removed, and its log goes with it. */
  discard(): void {
    this.trust.forget()
    this.wal.forget()
    this.journal.forget()
    this.expectations.clear()
    this.close()
    this.pages.resize(0)
    this.pageSize = 0
    this.refusal = undefined
    this.publish()
  }

  /** The database's file is about to be removed. */
  drop(): void {
    // Until its removal is durable a power loss can bring the file back, of which the log then tells nothing any more.
    this.withFile((fd) => this.files.sync(fd))
    this.wal.forget()
    this.journal.forget()
    this.commit({ commit: 0, pgnos: [], read: () => empty, whole: true })
    this.trust.forget()
    this.syncLog()
    this.publish()
  }

  /** The page as the database file has it; zeros beyond its end, as SQLite reads it. Valid until the next call. */
  readFile(pgno: Pgno): Uint8Array {
    return this.withFile((fd) => this.#readFrom(fd, pgno))
  }

  /** The page's newest committed version, wherever it is. Valid until the next call. */
  readPage(pgno: Pgno): Uint8Array {
    const frame = this.pages.frame(pgno)
    return frame < 0 ? this.readFile(pgno) : this.readFrame(frame)
  }

  readFrame(index: number): Uint8Array {
    const page = scratch.subarray(0, this.pageSize)
    const at = frameOffset(index, this.pageSize) + FRAME_HEADER_SIZE
    const n = this.files.read(this.walFd, page, 0, page.length, at)
    assert.equal(n, page.length, 'a committed frame lies within the WAL')
    return page
  }

  readHeader(fd: number): DatabaseHeader | undefined {
    const bytes = new Uint8Array(DATABASE_HEADER_SIZE)
    const n = this.files.read(fd, bytes, 0, bytes.length, 0)
    return parseDatabaseHeader(bytes.subarray(0, n))
  }

  /** Database size in pages and journal mode as the file has them; undefined when there is no database in it, or no file. */
  fileState(): { header: DatabaseHeader; sizePages: number } | undefined {
    if (this.fd < 0 && !this.files.exists(this.path)) return undefined
    return this.withFile((fd) => {
      const header = this.readHeader(fd)
      return header && { header, sizePages: sizePages(header, this.files.size(fd)) }
    })
  }

  /** A checkpoint wrote `data` into the database file: pages that now lie there in their newest version have left the WAL. */
  checkpointed(data: Uint8Array, position: number): void {
    if (this.pages.pagesInWal === 0) return
    const size = this.pageSize
    for (let at = Math.ceil(position / size) * size; at + size <= position + data.length; at += size) {
      const pgno = at / size + 1
      if (this.pages.frame(pgno) < 0) continue
      const page = data.subarray(at - position, at - position + size)
      if (pageChecksum(pgno, page) === this.pages.checksum(pgno)) this.pages.clearFrame(pgno)
    }
    if (this.pages.pagesInWal === 0) this.publish()
  }

  /** Saves the page checksums beside the log, for the next recovery; false where that failed. */
  savePageChecksums(): boolean {
    return this.#transactions.savePageChecksums()
  }

  close(): void {
    this.#transactions.close()
  }

  withFile<T>(use: (fd: number) => T): T {
    if (this.fd >= 0) return use(this.fd)
    const fd = this.files.open(this.path, fs.constants.O_RDWR | fs.constants.O_NOFOLLOW)
    try {
      return use(fd)
    } finally {
      this.files.close(fd)
    }
  }

  #readFrom(fd: number, pgno: Pgno): Uint8Array {
    const page = scratch.subarray(0, this.pageSize)
    const n = this.files.read(fd, page, 0, page.length, (pgno - 1) * this.pageSize)
    if (n < page.length) page.fill(0, n)
    if (n > 0) this.trust.check(pgno, page)
    return page
  }
}

const empty = new Uint8Array(0)
/** One for the thread. */
const scratch = new Uint8Array(65536)
