import fs from 'node:fs'
import { DATABASE_HEADER_SIZE, type DatabaseHeader, parseDatabaseHeader, sizePages } from '../sqlite/database-header.ts'
import { DATABASE_LOCK } from '../sqlite/locks.ts'
import { RangeLocks } from '../sqlite/range-locks.ts'
import { nodeFiles, readerOf } from '../util/files.ts'
import { ApplyBlockedError } from './errors.ts'

const { pending, reserved, shared, sharedLength } = DATABASE_LOCK
const WRITE_PIECE_BYTES = 1 << 20
/** To wait on, without turning: a busy handler as SQLite's. */
const NEVER = new Int32Array(new SharedArrayBuffer(4))

/**
 * The database file, open for writing, with SQLite's RESERVED and SHARED lock on it from beginning to end: others read,
 * nobody else begins to write, and nobody takes the WAL away.
 */
export class DatabaseFile {
  readonly path: string
  readonly fd: number
  readonly #locks: RangeLocks

  private constructor(path: string, fd: number) {
    this.path = path
    this.fd = fd
    this.#locks = new RangeLocks(fd)
  }

  /** Creates an empty file where there is none. Throws ApplyBlockedError while another process writes to it. */
  static open(path: string): DatabaseFile {
    const fd = nodeFiles.open(path, fs.constants.O_RDWR | fs.constants.O_CREAT)
    const file = new DatabaseFile(path, fd)
    try {
      file.#lock()
      return file
    } catch (error) {
      file.close()
      throw error
    }
  }

  #lock(): void {
    const locks = this.#locks
    const held = locks.shared(pending) && locks.shared(shared, sharedLength) && locks.exclusive(reserved)
    locks.unlock(pending)
    if (!held) throw new ApplyBlockedError(this.path, 'another process is writing to it')
  }

  /**
   * SQLite's EXCLUSIVE lock: nobody reads. While it waits, at most `waitMs`, readers that are there finish, and no new
   * ones begin; a failed attempt leaves nothing in their way.
   */
  tryExclusive(waitMs: number): boolean {
    const locks = this.#locks
    if (!locks.exclusive(pending)) return false
    const until = performance.now() + waitMs
    for (;;) {
      if (locks.exclusive(shared, sharedLength)) return true
      if (performance.now() >= until) break
      Atomics.wait(NEVER, 0, 0, 1)
    }
    locks.unlock(pending)
    return false
  }

  /** Back to RESERVED. */
  endExclusive(): void {
    this.#locks.shared(shared, sharedLength)
    this.#locks.unlock(pending)
  }

  /** undefined when the file does not begin as a database does; an empty one does not. */
  header(): DatabaseHeader | undefined {
    return parseDatabaseHeader(this.read(0, DATABASE_HEADER_SIZE))
  }

  sizePages(header: DatabaseHeader): number {
    return sizePages(header, this.sizeBytes())
  }

  sizeBytes(): number {
    return nodeFiles.size(this.fd)
  }

  read(position: number, length: number): Uint8Array {
    return readerOf(nodeFiles, this.fd)(position, length)
  }

  /** Pages in any order; neighbours go in one write. */
  writePages(pageSize: number, pages: Iterable<{ readonly pgno: number; readonly page: Uint8Array }>): void {
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
    }
    flush()
  }

  truncate(sizeBytes: number): void {
    nodeFiles.truncate(this.fd, sizeBytes)
  }

  sync(): void {
    nodeFiles.sync(this.fd)
  }

  /** Gives up every lock. */
  close(): void {
    nodeFiles.close(this.fd)
  }
}
