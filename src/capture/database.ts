import fs from 'node:fs'
import assert from 'node:assert/strict'
import { SOLE } from './authority.ts'
import type { Authority } from './authority.ts'
import type { CaptureEvents } from './events.ts'
import { Expectations } from './expected.ts'
import type { Expectation } from './expected.ts'
import { FileTrust } from './file-trust.ts'
import { JournalTracker } from './journal-tracker.ts'
import { PageTable, exchange } from '../sqlite/page-table.ts'
import { refuseExpired, refuseReplica, refuseUnexpected } from './refusal.ts'
import { WalTracker } from './wal-tracker.ts'
import type { Caller, HeldReply } from '../fuse/content.ts'
import type { Logs } from '../log/logs.ts'
import type { LogWriter } from '../log/writer.ts'
import { writePageChecksums } from '../log/page-checksums.ts'
import { DATABASE_HEADER_SIZE, parseDatabaseHeader, sizePages } from '../sqlite/database-header.ts'
import type { DatabaseHeader } from '../sqlite/database-header.ts'
import { frameOffset, FRAME_HEADER_SIZE } from '../sqlite/wal.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import type { Checksum, Pgno, Position, TXID } from '../ltx/format/types.ts'
import { EMPTY_CHECKSUM, lockPgno, nextTXID } from '../ltx/format/types.ts'
import type { Files } from '../util/files.ts'

/** Where a transaction lay in the WAL. */
export interface WalSpan {
  readonly offset: number
  readonly size: number
  readonly salt1: number
  readonly salt2: number
}

/** A change of the database that is to become one LTX transaction. */
export interface Change {
  /** Database size in pages afterwards; 0 drops the database. */
  readonly commit: number
  /** Ascending, without the lock page, none beyond `commit`; every page by which the database grows is among them. */
  readonly pgnos: Pgno[]
  /** The page's new content, valid until the next call. */
  readonly read: (pgno: Pgno) => Uint8Array
  readonly wal?: WalSpan
  /** Nothing of the old pages remains: a first import, a replaced file, another page size. */
  readonly whole?: boolean
}

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

/** What a transaction says besides its pages. */
interface Stamp {
  readonly timestampMs: number
  readonly nodeId: bigint
  /** The checksum that must come out; absent where this node decides. */
  readonly checksum?: Checksum
}

/**
 * One database on the mount: what is committed, where its pages are, and the one way by which a change of it becomes a
 * transaction. Trackers see the writes and decide that something was committed; this class makes it so.
 */
export class Database {
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
  lastTimestampMs = 0
  readonly authority: Authority
  /** On a replica: what the local client announced. */
  readonly expectations = new Expectations()
  private readonly options: DatabaseOptions
  private log: LogWriter | undefined
  /** Of finished segments, since the page checksums were saved. */
  private unsavedBytes = 0

  constructor(
    options: DatabaseOptions,
    state?: { log: LogWriter; pages: PageTable; pageSize: number; walMode: boolean },
  ) {
    this.options = options
    this.name = options.name
    this.path = options.path
    this.files = options.files
    this.events = options.events
    this.authority = options.authority ?? SOLE
    this.pages = state?.pages ?? new PageTable()
    this.pageSize = state?.pageSize ?? 0
    this.walMode = state?.walMode ?? false
    this.log = state?.log
    this.wal = new WalTracker(this)
    this.journal = new JournalTracker(this)
    this.trust = new FileTrust(this)
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
    return this.log !== undefined
  }

  get logDir(): string | undefined {
    return this.log?.dir
  }

  get position(): Position {
    return this.log?.position ?? { txid: 0n as Position['txid'], checksum: EMPTY_CHECKSUM }
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
      const { nowMs, nodeId } = this.options
      return this.append(change, { timestampMs: Math.max(nowMs(), this.lastTimestampMs), nodeId })
    }
    const { expectations, position } = this
    const expected = expectations.next(position.txid)
    if (expected === undefined) throw refuseReplica(this.events, this.name)
    const { timestampMs, nodeId } = expected
    const stamp = { timestampMs, nodeId, checksum: expected.position.checksum }
    if (expected.replaces === undefined) this.append(change, stamp)
    else this.replace(change, expected, stamp)
    expectations.met(expected)
  }

  /** Refuses what only a primary's application, or the local client on a replica, may do (I5). */
  assertWriter(caller: Caller): void {
    const { authority } = this
    if (!authority.leads && !authority.isClient(caller)) throw refuseReplica(this.events, this.name, caller)
  }

  private append(change: Change, stamp: Stamp): void {
    const log = (this.log ??= this.options.logs.open(this.name))
    const txid = nextTXID(log.position.txid)
    const { finishedBytes } = this.write(log, txid, log.position.checksum, change, stamp)
    this.unsavedBytes += finishedBytes
    const tableBytes = this.pages.snapshot().byteLength
    if (finishedBytes > 0 && this.unsavedBytes >= SAVE_AFTER * tableBytes) this.savePageChecksums()
  }

  /** The log begins anew, with all pages as one transaction: whatever the file was before, recovery can make it this. */
  private replace(change: Change, { position, replaces }: Expectation, stamp: Stamp): void {
    const { commit, pgnos, whole } = change
    const changed = new Set(pgnos)
    const everything: Change = {
      ...change,
      pgnos: whole === true ? pgnos : pagesOf(commit, this.pageSize),
      read: (pgno) => (changed.has(pgno) ? change.read(pgno) : this.readPage(pgno)),
    }
    const base = { txid: (position.txid - 1n) as TXID, checksum: replaces?.preApplyChecksum || EMPTY_CHECKSUM }
    const { logs } = this.options
    this.close()
    try {
      this.log = logs.replace(this.name, base, (log) => {
        this.write(log, position.txid, base.checksum, everything, stamp, true)
      })
    } catch (error) {
      this.log = logs.open(this.name)
      throw error
    }
  }

  private write(
    log: LogWriter,
    txid: TXID,
    preApplyChecksum: Checksum,
    change: Change,
    stamp: Stamp,
    anew = change.whole === true,
  ): { finishedBytes: number } {
    const { commit, pgnos } = change
    const sums = new Array<Checksum>(pgnos.length)
    const header = {
      flags: 0,
      pageSize: this.pageSize,
      commit,
      minTXID: txid,
      maxTXID: txid,
      timestampMs: stamp.timestampMs,
      preApplyChecksum: txid === 1n ? (0n as const) : preApplyChecksum,
      walOffset: change.wal?.offset ?? 0,
      walSize: change.wal?.size ?? 0,
      walSalt1: change.wal?.salt1 ?? 0,
      walSalt2: change.wal?.salt2 ?? 0,
      nodeId: stamp.nodeId,
    }
    const { finishedBytes } = log.append(header, (encoder) => {
      let checksum = anew ? EMPTY_CHECKSUM : preApplyChecksum
      for (let i = 0; i < pgnos.length; i++) {
        const pgno = pgnos[i] as Pgno
        encoder.writePage(pgno, change.read(pgno))
        const sum = encoder.lastPageChecksum()
        sums[i] = sum
        checksum = exchange(checksum, anew ? 0n : this.pages.checksum(pgno), sum)
      }
      if (!anew) checksum = this.withoutPagesBeyond(commit, checksum)
      if (stamp.checksum !== undefined && stamp.checksum !== checksum) {
        throw refuseUnexpected(this.events, this.name, stamp.checksum, checksum)
      }
      return checksum
    })
    if (change.whole === true) this.pages.resize(0)
    this.pages.resize(commit)
    for (let i = 0; i < pgnos.length; i++) this.pages.setChecksum(pgnos[i] as Pgno, sums[i] as Checksum)
    this.lastTimestampMs = stamp.timestampMs
    return { finishedBytes }
  }

  /** Nobody has it open. */
  rest(): void {
    this.log?.rest()
  }

  /** Everything committed so far survives a power loss when this returns. */
  syncLog(): void {
    this.log?.sync()
  }

  /** The same, but it may have only been begun: then what is returned answers who asked for it. */
  beginLogSync(): HeldReply | undefined {
    return this.log?.beginSync()
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
        this.commit({ commit, pgnos, read: (pgno) => this.readFrom(fd, pgno), whole: true })
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
    return this.withFile((fd) => this.readFrom(fd, pgno))
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

  /** Writes the page checksums beside the log, for the next recovery. Only ever a help: a failure is no more than said, and returned. */
  savePageChecksums(): boolean {
    if (this.log === undefined) return false
    const path = `${this.log.dir}/pages.bin`
    try {
      writePageChecksums(this.files, path, this.position, this.pages.snapshot())
      this.unsavedBytes = 0
      return true
    } catch (error) {
      this.events.log('warn', 'page checksums could not be saved', { database: this.name, error: String(error) })
    }
    try {
      // An old table would keep the log from being cut.
      if (this.files.exists(path)) this.files.unlink(path)
    } catch {
      // That is all it does.
    }
    return false
  }

  close(): void {
    this.log?.close()
    this.log = undefined
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

  private readFrom(fd: number, pgno: Pgno): Uint8Array {
    const page = scratch.subarray(0, this.pageSize)
    const n = this.files.read(fd, page, 0, page.length, (pgno - 1) * this.pageSize)
    if (n < page.length) page.fill(0, n)
    if (n > 0) this.trust.check(pgno, page)
    return page
  }

  private withoutPagesBeyond(commit: number, checksum: Checksum): Checksum {
    let result = checksum
    for (let pgno = commit + 1; pgno <= this.pages.sizePages; pgno++) {
      result = exchange(result, this.pages.checksum(pgno), 0n)
    }
    return result
  }
}

/** All pages of a database but the lock page. */
export function pagesOf(sizeInPages: number, pageSize: number): Pgno[] {
  const lock = lockPgno(pageSize)
  const pgnos: Pgno[] = []
  for (let pgno = 1; pgno <= sizeInPages; pgno++) if (pgno !== lock) pgnos.push(pgno)
  return pgnos
}

const empty = new Uint8Array(0)
/** The page checksums of a large database are saved so seldom that they are an eighth of what the log writes, at most. */
const SAVE_AFTER = 8
/** One for the thread. */
const scratch = new Uint8Array(65536)
