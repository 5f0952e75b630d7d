import assert from 'node:assert/strict'
import type { Caller, HeldReply } from '../fuse/content.ts'
import type { LogWriter } from '../log/writer.ts'
import type { Pgno, Position } from '../ltx/format/types.ts'
import type { Encryption } from '../sqlite/database-header.ts'
import { PageTable } from '../sqlite/page-table.ts'
import { FRAME_HEADER_SIZE, frameOffset } from '../sqlite/wal.ts'
import type { Files } from '../util/files.ts'
import { boundedTime } from '../util/time.ts'
import type { Authority } from './authority.ts'
import { assertWriter, notLeading, SOLE } from './authority.ts'
import type { FileState } from './backing-file.ts'
import { BackingFile } from './backing-file.ts'
import type { CapturedDatabase } from './captured-database.ts'
import type { Change, ChangeEnd } from './change.ts'
import { pagesOf } from './change.ts'
import { CopiedIn } from './copied-in.ts'
import type { DatabaseOptions } from './database-options.ts'
import type { CaptureEvents } from './events.ts'
import type { Expectation } from './expected.ts'
import { Expectations } from './expected.ts'
import { FileTrust } from './file-trust.ts'
import { JournalTracker } from './journal-tracker.ts'
import { Lateness } from './lateness.ts'
import { assertMemory } from './memory.ts'
import { rejectTooMany } from './rejection.ts'
import { Replacing } from './replacing.ts'
import { Transactions } from './transactions.ts'
import type { UnreplicatedDatabases } from './unreplicated.ts'
import { WalTracker } from './wal-tracker.ts'
import { WalWatch } from './wal-watch.ts'

/**
 * One database on the mount: what is committed, where its pages are, and the only way for a change to become a
 * transaction. The trackers decide that something was committed; this class commits it.
 */
export class Database implements CapturedDatabase {
  readonly name: string
  readonly files: Files
  readonly events: CaptureEvents
  readonly pages: PageTable
  readonly wal: WalTracker
  readonly watch = new WalWatch(this)
  readonly journal: JournalTracker
  readonly trust: FileTrust
  readonly replacing = new Replacing(this)
  readonly copied = new CopiedIn(this)
  readonly file: BackingFile
  walFd = -1
  pageSize = 0
  /** Page 1 says WAL mode. */
  walMode = false
  /** Why this database is not served: recovery failed, or damage was found later. */
  rejection: string | undefined
  /** Those of the mount; undefined while the node recovers. */
  unreplicated: UnreplicatedDatabases | undefined
  readonly authority: Authority
  /** On a replica: the transactions that the local client announced. */
  readonly expectations = new Expectations()
  readonly lateness = new Lateness(this)
  readonly #options: DatabaseOptions
  readonly #transactions: Transactions

  constructor(
    options: DatabaseOptions,
    state?: { log: LogWriter; pages: PageTable; pageSize: number; walMode: boolean; encryption?: Encryption },
  ) {
    this.#options = options
    this.name = options.name
    this.files = options.files
    this.file = new BackingFile(options.files, options.path)
    this.events = options.events
    this.authority = options.authority?.of?.(options.name) ?? options.authority ?? SOLE
    this.pages = state?.pages ?? new PageTable()
    this.pageSize = state?.pageSize ?? 0
    this.walMode = state?.walMode ?? false
    const { pages, file, lateness } = this
    const readPage = (pgno: Pgno) => this.readPage(pgno)
    this.#transactions = new Transactions({ ...options, pages, file, readPage, confirm: lateness.confirm }, state?.log)
    this.#transactions.encryption = state?.encryption ?? 'none'
    if (state?.encryption === 'whole') file.encryptedPageSize = state.pageSize
    this.wal = new WalTracker(this)
    this.journal = new JournalTracker(this)
    this.trust = new FileTrust(this, this.journal)
  }

  get path(): string {
    return this.file.path
  }

  /** Whether changes are captured: the database has a committed state with pages. */
  get tracked(): boolean {
    return this.pages.sizePages > 0
  }

  /**
   * Whether checkpoints write the file, without a journal. True on a replica even if the newest page 1 says otherwise:
   * that page came through the WAL, which stays in use until it is checkpointed.
   */
  get hasWal(): boolean {
    return this.walMode || this.wal.following
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

  get encryption(): Encryption {
    return this.#transactions.encryption
  }

  get appended(): number {
    return this.#transactions.appended
  }

  /**
   * The position up to which the database file holds everything; undefined while the newest version of some page is
   * only in the WAL.
   */
  get backfilled(): Position | undefined {
    return this.pages.pagesInWal === 0 ? this.position : undefined
  }

  /**
   * Makes `change` the next transaction: first in the log, then in the page table. Throws FsError; then nothing has
   * changed. A replica commits only what was announced (I5), and a primary nothing after its lease has expired (I6).
   */
  commit(change: Change): void {
    this.trust.assertSound()
    this.trust.expectChange()
    if (this.logDir === undefined && this.events.admits?.(this.name) === false)
      throw rejectTooMany(this.events, this.name)
    if (change.decided === true || this.authority.leads) {
      if (change.decided !== true) this.lateness.begin()
      const { nowMs, nodeId } = this.#options
      const timestampMs = Math.max(nowMs(), boundedTime(this.lastTimestampMs))
      return this.#transactions.append(change, this.pageSize, { timestampMs, nodeId })
    }
    this.lateness.end()
    const { expectations, position } = this
    const expected = expectations.next(position.txid)
    if (expected === undefined) throw notLeading(this)
    const { timestampMs, nodeId } = expected
    const stamp = { timestampMs, nodeId, checksum: expected.position.checksum }
    if (expected.replaces === undefined) this.#transactions.append(change, this.pageSize, stamp)
    else this.#transactions.replace(change, this.pageSize, expected, stamp)
    expectations.fulfilled(expected)
  }

  /** Rejects a write that only the primary's applications, or the local client on a replica, may make (I5). */
  assertWriter(caller: Caller, errno?: 'EACCES'): void {
    assertWriter(this, caller, errno)
  }

  /** No connection has the database open: its log needs no descriptor. */
  closeIdle(): void {
    this.#transactions.closeIdle()
  }

  /** Fsyncs the log: everything committed so far survives a power loss. */
  syncLog(): void {
    this.#transactions.sync()
  }

  /** See LogWriter.mend. */
  mendLog(): boolean {
    return this.#transactions.mendLog()
  }

  /** Begins an fsync of the log. A returned reply answers the request when the fsync ends. */
  beginLogSync(): HeldReply | undefined {
    return this.lateness.sync(this.#transactions)
  }

  publish(): void {
    if (this.tracked) this.unreplicated?.remove(this.name)
    this.events.published(this)
  }

  /** Commits the whole file as the next transaction. The caller ensures that no journal is open on it. */
  importFile(sizePages?: number, end?: ChangeEnd): Position {
    this.withFile((fd) => this.commitWhole(fd, sizePages, end))
    this.publish()
    return this.position
  }

  /** Commits the whole database that `fd` holds. Throws FsError; then nothing has changed. */
  commitWhole(fd: number, sizePages?: number, end?: ChangeEnd): void {
    const isOwn = fd !== this.replacing.current?.fd
    const state = this.file.stateOf(fd, isOwn)
    assert.ok(state !== undefined, 'only a valid database is imported')
    const { header } = state
    const commit = sizePages ?? state.sizePages
    assertMemory(this, commit, commit)
    const previous = this.pageSize
    this.pageSize = header.pageSize
    const pgnos = pagesOf(commit, header.pageSize)
    try {
      this.commit({ ...end, commit, pgnos, read: (pgno) => this.#readFrom(fd, pgno), whole: true })
    } catch (error) {
      this.pageSize = previous
      throw error
    }
    this.copied.imported()
    this.walMode = header.journalMode === 'wal'
    if (header.encryption !== 'whole') this.file.encryptedPageSize = 0
  }

  /** The database is not part of the primary's history: its file and its log are about to be removed. */
  discard(): void {
    this.replacing.abandon()
    this.trust.forget()
    this.wal.forget()
    this.journal.abandon()
    this.expectations.clear()
    this.#transactions.discard()
    this.pages.resize(0)
    this.pageSize = this.file.encryptedPageSize = 0
    this.rejection = undefined
    this.publish()
  }

  /** The database's file is about to be removed. */
  drop(): void {
    this.replacing.abandon()
    // A power loss can bring it back until its removal is durable, and the log will no longer hold its content.
    this.file.syncAll()
    this.wal.forget()
    this.commit({ commit: 0, pgnos: [], read: () => scratch, whole: true, durable: true })
    // Not before: its note keeps a start from taking a copied journal for one of SQLite's.
    this.journal.forget()
    this.file.encryptedPageSize = 0
    this.trust.forget()
    this.publish()
  }

  /** The page's content in the database file; zeros beyond its end, as SQLite reads it. Valid until the next call. */
  readFile(pgno: Pgno): Uint8Array {
    return this.withFile((fd) => this.#readFrom(fd, pgno))
  }

  /** The page's newest committed version, from the WAL or the file. Valid until the next call. */
  readPage(pgno: Pgno): Uint8Array {
    const frame = this.pages.frame(pgno)
    return frame < 0 ? this.readFile(pgno) : this.readFrame(frame)
  }

  readFrame(index: number): Uint8Array {
    const at = frameOffset(index, this.pageSize) + FRAME_HEADER_SIZE
    const n = this.files.read(this.walFd, scratch, 0, this.pageSize, at)
    assert.equal(n, this.pageSize, 'a committed frame lies within the WAL')
    return scratch.subarray(0, n)
  }

  fileState(announced?: Expectation): FileState | undefined {
    const state = this.file.state()
    if (announced === undefined || (state !== undefined && state.header.encryption !== 'whole')) return state
    return this.file.assumeEncrypted(announced.pageSize) ? this.file.state() : state
  }

  /** Saves the page checksums beside the log; false if that failed. */
  savePageChecksums(): boolean {
    return this.#transactions.savePageChecksums()
  }

  close(): void {
    this.#transactions.close()
  }

  withFile<T>(use: (fd: number) => T): T {
    return this.file.use(use)
  }

  #readFrom(fd: number, pgno: Pgno): Uint8Array {
    const page = scratch.subarray(0, this.pageSize)
    const n = this.files.read(fd, page, 0, page.length, (pgno - 1) * this.pageSize)
    if (n < page.length) page.fill(0, n)
    if (n > 0 && fd !== this.replacing.current?.fd) this.trust.check(pgno, page)
    return page
  }
}

/** Shared by all databases of the thread. */
const scratch = new Uint8Array(65536)
