import fs from 'node:fs'
import { dirname } from 'node:path'
import { DATABASE_HEADER_SIZE, type DatabaseHeader, parseDatabaseHeader, sizePages } from '../sqlite/database-header.ts'
import { DATABASE_LOCK } from '../sqlite/locks.ts'
import { RangeLocks } from '../sqlite/range-locks.ts'
import { hasWalMagic, WAL_HEADER_SIZE } from '../sqlite/wal.ts'
import { errorMessage } from '../util/errors.ts'
import { type Files, nodeFiles, readerOf, withFile } from '../util/files.ts'
import { filesBeneath, resolveLinks } from '../util/files-beneath.ts'
import { isClosed } from '../util/private-files.ts'
import { hasHotJournal, SIDE_SUFFIXES, type SideSuffix } from './beside.ts'
import { ApplyBlockedError, HardLinkError } from './errors.ts'
import { isForeign, letsInMore } from './foreign-file.ts'
import { openOrMake, removeRegular } from './make-file.ts'
import { finish, STEP_BYTES, type Steps } from './steps.ts'

const { O_CREAT, O_RDWR, O_TRUNC } = fs.constants
const { pending, reserved, shared, sharedLength } = DATABASE_LOCK
const WRITE_PIECE_BYTES = 1 << 20
const PERMISSIONS = 0o777
/** For Atomics.wait: sleeps between attempts, like SQLite's busy handler. */
const NEVER = new Int32Array(new SharedArrayBuffer(4))

/**
 * The database file, open for writing. It holds SQLite's RESERVED and SHARED locks until it is closed, or between
 * `unlock` and `lock`: others can read, no other connection can begin to write, and none can remove the WAL.
 */
export class DatabaseFile {
  readonly path: string
  readonly fd: number
  /** Opens the files beside it. */
  readonly files: Files
  readonly #locks: RangeLocks
  #isExclusive = false

  private constructor(path: string, fd: number, files: Files) {
    this.path = path
    this.files = files
    this.fd = fd
    this.#locks = new RangeLocks(fd)
  }

  /**
   * Creates an empty file if there is none. `files` opens it and the files beside it. Without `files`, `path` may be a
   * link, and the files beside what it names are no links. `make` makes the file and returns its descriptor. Throws
   * HardLinkError, and ApplyBlockedError while another process writes to the file.
   */
  static open(path: string, files?: Files, make?: () => number): DatabaseFile {
    const real = files === undefined ? resolveLinks(path) : path
    const opener = files ?? filesBeneath(dirname(real))
    const fd = make?.() ?? openOrMake(opener, real, O_RDWR)
    const file = new DatabaseFile(real, fd, opener)
    try {
      // A journal beside it would be rolled back into the file that has the other name.
      if (file.stats().nlink > 1) throw new HardLinkError(path, real)
      file.lock()
      // What is beside a database that was made just now is not of it.
      if (make !== undefined) for (const suffix of SIDE_SUFFIXES) removeRegular(opener, real + suffix)
      return file
    } catch (error) {
      file.close()
      throw error
    }
  }

  /**
   * Opens or creates the WAL, wal-index or journal. A new one gets the mode of the database and, from root, its owner,
   * as SQLite does it: who can open the database can open these too. One that lets in more users is narrowed. What
   * another user put there, to be given pages, is removed. Where it cannot be, and where it is a hard link, it is an
   * ApplyBlockedError.
   */
  openBeside(suffix: SideSuffix, flags: number): number {
    this.removeForeign(suffix)
    this.#removeLoose(suffix)
    const path = this.path + suffix
    const fd = openOrMake(this.files, path, flags & ~(O_CREAT | O_TRUNC))
    try {
      const self = process.geteuid?.()
      const database = this.stats()
      const { mode, uid, gid } = database
      const own = fs.fstatSync(fd)
      if (own.nlink > 1) throw new HardLinkError(this.path, path)
      if (isForeign(own, database) || (suffix !== '-shm' && this.#isLoose(suffix, own)))
        throw new ApplyBlockedError(this.path, `user ${own.uid} makes ${path} at this moment`)
      const isNew = own.size === 0 || (flags & O_TRUNC) !== 0
      if ((flags & O_TRUNC) !== 0) nodeFiles.truncate(fd, 0)
      if (isNew && self === 0 && (own.uid !== uid || own.gid !== gid)) fs.fchownSync(fd, uid, gid)
      const permissions = isNew ? mode & PERMISSIONS : own.mode & mode & PERMISSIONS
      const isOwner = self === 0 || own.uid === self
      if ((isNew || isOwner) && (own.mode & PERMISSIONS) !== permissions) fs.fchmodSync(fd, permissions)
      return fd
    } catch (error) {
      fs.closeSync(fd)
      throw error
    }
  }

  /**
   * Removes an empty file, or a wal-index, that another user, who may not write to the database, has made under the
   * name of one of its side files, and a journal that nobody would roll back. Throws ApplyBlockedError if it cannot be
   * removed, for a WAL or wal-index while another process has the database open, and for a WAL with content or a
   * journal to roll back: it may be a former owner's, and have transactions.
   */
  removeForeign(suffix: SideSuffix): void {
    const path = this.path + suffix
    const found = this.files.status(path)
    if (found === undefined || !isForeign(found, this.stats())) return
    const what = `${path} belongs to user ${found.uid}, who may not write to the database`
    if (suffix === '-wal' ? found.size > 0 : suffix === '-journal' && hasHotJournal(this))
      throw new ApplyBlockedError(this.path, `${what}: move it away, or give it to the database's user`)
    // As long as this process holds the write lock, nobody makes a journal, or takes one for one to roll back.
    if (suffix !== '-journal' && !this.#isUnused())
      throw new ApplyBlockedError(this.path, `${what}, and ${this.reader()} uses the database`)
    try {
      this.files.remove(path)
    } catch (error) {
      throw new ApplyBlockedError(this.path, `${what}, and cannot be removed (${errorMessage(error)})`)
    }
  }

  /**
   * Removes a file that lets in more users than the database, but for a WAL with frames, where another user can have
   * moved it there. Throws ApplyBlockedError for a WAL while another process has the database open.
   */
  #removeLoose(suffix: SideSuffix): void {
    const path = this.path + suffix
    const found = this.files.status(path)
    if (found === undefined || !this.#isLoose(suffix, found)) return
    // As long as this process holds the write lock, nobody takes a journal for one to roll back.
    if (suffix !== '-journal' && !this.#isUnused()) {
      // It has no pages.
      if (suffix === '-shm') return
      const what = `${path} lets in users who may not open the database`
      throw new ApplyBlockedError(this.path, `${what}, and ${this.reader()} uses the database`)
    }
    this.files.remove(path)
  }

  #isLoose(suffix: SideSuffix, found: fs.Stats): boolean {
    if (!found.isFile() || found.nlink > 1 || !letsInMore(found, this.stats()) || this.#isAlone()) return false
    const hasMagic = (fd: number) => hasWalMagic(readerOf(nodeFiles, fd)(0, WAL_HEADER_SIZE))
    return suffix !== '-wal' || !withFile(this.files, this.path + suffix, fs.constants.O_RDONLY, hasMagic)
  }

  /** Whether nobody else could move a file to the name of one beside the database. */
  #isAlone(): boolean {
    const directory = this.files.status(dirname(this.path))
    return directory !== undefined && isClosed(directory)
  }

  /** Whether no other process has the database open in WAL mode, or reads it. */
  #isUnused(): boolean {
    if (this.#isExclusive) return true
    const isUnused = this.tryExclusive(0)
    if (isUnused) this.endExclusive()
    return isUnused
  }

  /** Throws ApplyBlockedError; then it holds no lock. */
  lock(): void {
    const locks = this.#locks
    const held = locks.shared(pending) && locks.shared(shared, sharedLength) && locks.exclusive(reserved)
    locks.unlock(pending)
    if (held) return
    const problem = `${locks.holder(pending, 2)} has a write transaction open`
    this.unlock()
    throw new ApplyBlockedError(this.path, problem)
  }

  /** Others can write until `lock`. */
  unlock(): void {
    this.#isExclusive = false
    this.#locks.unlock(pending, shared + sharedLength - pending)
  }

  /**
   * Takes SQLite's EXCLUSIVE lock, under which nobody reads. Waits at most `waitMs` for the present readers; no new
   * reader begins meanwhile. After a failed attempt readers can begin again.
   */
  tryExclusive(waitMs: number): boolean {
    const locks = this.#locks
    if (!locks.exclusive(pending)) return false
    const until = performance.now() + waitMs
    for (;;) {
      if (locks.exclusive(shared, sharedLength)) return (this.#isExclusive = true)
      if (performance.now() >= until) break
      Atomics.wait(NEVER, 0, 0, 1)
    }
    locks.unlock(pending)
    return false
  }

  /** The same. Throws ApplyBlockedError. */
  lockExclusive(waitMs: number): void {
    if (this.tryExclusive(waitMs)) return
    throw new ApplyBlockedError(
      this.path,
      `${this.reader()} reads it, and in rollback mode a change must wait for readers`,
    )
  }

  /** A process that reads the database, or has it open in WAL mode, for a message. */
  reader(): string {
    return this.#locks.holder(shared, sharedLength)
  }

  /** Returns from EXCLUSIVE to RESERVED. */
  endExclusive(): void {
    this.#isExclusive = false
    this.#locks.shared(shared, sharedLength)
    this.#locks.unlock(pending)
  }

  /** undefined when the file has no valid database header, as when it is empty. */
  header(): DatabaseHeader | undefined {
    return parseDatabaseHeader(this.read(0, DATABASE_HEADER_SIZE))
  }

  sizePages(header: DatabaseHeader): number {
    return sizePages(header, this.sizeBytes())
  }

  stats(): fs.Stats {
    return fs.fstatSync(this.fd)
  }

  sizeBytes(): number {
    return nodeFiles.size(this.fd)
  }

  read(position: number, length: number): Uint8Array {
    return readerOf(nodeFiles, this.fd)(position, length)
  }

  /** Writes pages in any order. Consecutive neighbours share one write. */
  writePages(pageSize: number, pages: Iterable<{ readonly pgno: number; readonly page: Uint8Array }>): void {
    finish(this.writePagesInSteps(pageSize, pages))
  }

  *writePagesInSteps(
    pageSize: number,
    pages: Iterable<{ readonly pgno: number; readonly page: Uint8Array }>,
  ): Steps<void> {
    let unpaused = 0
    const perWrite = Math.max(1, WRITE_PIECE_BYTES / pageSize)
    let buffer: Uint8Array | undefined
    let first = 0
    let count = 0
    const flush = () => {
      if (count > 0 && buffer !== undefined)
        nodeFiles.write(this.fd, buffer, 0, count * pageSize, (first - 1) * pageSize)
      count = 0
    }
    for (const { pgno, page } of pages) {
      if (count === perWrite || pgno !== first + count) flush()
      buffer ??= new Uint8Array(perWrite * pageSize)
      if (count === 0) first = pgno
      buffer.set(page, count * pageSize)
      count++
      if ((unpaused += pageSize) < STEP_BYTES) continue
      unpaused = 0
      yield
    }
    flush()
  }

  truncate(sizeBytes: number): void {
    nodeFiles.truncate(this.fd, sizeBytes)
  }

  sync(): void {
    nodeFiles.sync(this.fd)
  }

  /** Releases every lock. */
  close(): void {
    nodeFiles.close(this.fd)
  }
}
