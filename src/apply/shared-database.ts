import fs from 'node:fs'
import type { Pgno } from '../ltx/format/types.ts'
import type { DatabaseInodes } from '../sqlite/database-files.ts'
import { DATABASE_LOCK } from '../sqlite/locks.ts'
import { RangeLocks } from '../sqlite/range-locks.ts'
import { errorCode } from '../util/errors.ts'
import { type Files, isAt, nodeFiles } from '../util/files.ts'
import { openExisting, type SharedWalIndex } from './shared-wal-index.ts'
import type { Page } from './transaction.ts'

const WRITE_PIECE_BYTES = 256 << 10
const MAX_GAP_PAGES = 8

const { pending, shared, sharedLength } = DATABASE_LOCK

/**
 * A database in WAL mode that applications write, opened for one checkpoint. SQLite's SHARED lock prevents their last
 * connection from removing the WAL meanwhile.
 */
export class SharedDatabase {
  readonly #files: Files
  readonly #path: string
  readonly #fd: number
  readonly #walFd: number
  readonly #locks: RangeLocks

  private constructor(files: Files, path: string, fd: number, walFd: number) {
    this.#files = files
    this.#path = path
    this.#fd = fd
    this.#walFd = walFd
    this.#locks = new RangeLocks(fd)
  }

  /** undefined where there is no WAL, or a connection holds the database exclusively. */
  static open(files: Files, path: string): SharedDatabase | undefined {
    const fd = openExisting(files, path, fs.constants.O_RDWR)
    if (fd === undefined) return undefined
    let walFd: number | undefined
    try {
      const locks = new RangeLocks(fd)
      const held = locks.shared(pending) && locks.shared(shared, sharedLength)
      locks.unlock(pending)
      // Read-only: the data plane counts who has the WAL open for writing, to know that a database is shared.
      walFd = held ? openExisting(files, `${path}-wal`, fs.constants.O_RDONLY) : undefined
    } catch (error) {
      nodeFiles.close(fd)
      throw error
    }
    if (walFd !== undefined) return new SharedDatabase(files, path, fd, walFd)
    nodeFiles.close(fd)
    return undefined
  }

  /** Returns how many bytes were read. */
  readWal(into: Uint8Array, length: number, position: number): number {
    return nodeFiles.read(this.#walFd, into, 0, length, position)
  }

  /** Groups ascending pages into runs; each run becomes one write. */
  *runsOf(pages: readonly Page[], pageSize: number): Generator<readonly Page[]> {
    const most = Math.max(1, WRITE_PIECE_BYTES / pageSize)
    let start = 0
    for (let i = 1; i <= pages.length; i++) {
      const page = pages[i]
      const isNear = page !== undefined && page.pgno - pgnoOf(pages, i - 1) <= MAX_GAP_PAGES
      if (isNear && page.pgno - pgnoOf(pages, start) < most) continue
      yield pages.slice(start, i)
      start = i
    }
  }

  /**
   * Writes a run, and rewrites the pages between its pages with their old content, since nobody else writes the file
   * meanwhile. Through a mount each write is a request, which costs more than some pages.
   */
  writeRun(run: readonly Page[], pageSize: number): void {
    const first = pgnoOf(run, 0)
    const length = (pgnoOf(run, run.length - 1) - first + 1) * pageSize
    const bytes = new Uint8Array(length)
    const isDense = length === run.length * pageSize
    const position = (first - 1) * pageSize
    if (!isDense && nodeFiles.read(this.#fd, bytes, 0, length, position) < length) {
      for (const { pgno, page } of run) nodeFiles.write(this.#fd, page, 0, pageSize, (pgno - 1) * pageSize)
      return
    }
    for (const { pgno, page } of run) bytes.set(page, (pgno - first) * pageSize)
    nodeFiles.write(this.#fd, bytes, 0, length, position)
  }

  /** Truncates or extends the file to exactly this size. */
  resize(sizeBytes: number): void {
    if (nodeFiles.size(this.#fd) !== sizeBytes) nodeFiles.truncate(this.#fd, sizeBytes)
  }

  /**
   * Takes SQLite's EXCLUSIVE lock, as the last connection does when it closes. False when another connection is open;
   * a connection that is just opening the database notices nothing. `index` counts too: an application that copies its
   * database loses its POSIX locks on the file by closing the copied one, but not those on the wal-index.
   */
  becomeLast(index: SharedWalIndex): boolean {
    const locks = this.#locks
    if (index.isInUse()) return false
    if (!locks.exclusive(shared, sharedLength)) return false
    if (locks.exclusive(pending)) return true
    locks.shared(shared, sharedLength)
    return false
  }

  get inode(): number {
    return fs.fstatSync(this.#fd).ino
  }

  /** Of the files that are open here, whatever has their names by now. */
  inodes(index: SharedWalIndex): DatabaseInodes {
    return { database: this.inode, wal: fs.fstatSync(this.#walFd).ino, shm: index.inode }
  }

  /**
   * Removes the WAL and the wal-index that were locked, or nothing if an application has made the database anew
   * meanwhile. Only after `becomeLast`, and after a complete checkpoint. `announce` tells the data plane which files
   * are meant: it compares them in one step with the removal.
   */
  removeWal(index: SharedWalIndex, announce: (inodes: DatabaseInodes) => void): void {
    const files = this.#files
    const path = this.#path
    if (!isAt(files, path, this.#fd) || !isAt(files, `${path}-wal`, this.#walFd) || !index.isAtPath()) return
    announce(this.inodes(index))
    try {
      for (const suffix of ['-wal', '-shm']) files.remove(path + suffix)
    } catch (error) {
      if (errorCode(error) !== 'ESTALE') throw error
    }
  }

  close(): void {
    nodeFiles.close(this.#walFd)
    nodeFiles.close(this.#fd)
  }
}

function pgnoOf(pages: readonly Page[], at: number): Pgno {
  return (pages[at] as Page).pgno
}
