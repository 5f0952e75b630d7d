import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import { WAL_INDEX_LOCK } from '../sqlite/locks.ts'
import { RangeLocks } from '../sqlite/range-locks.ts'
import {
  blockOfFrame,
  frameBeforeBlock,
  READ_MARK_UNUSED,
  READ_MARKS,
  WAL_INDEX_BLOCK_SIZE,
  WalIndexBlock,
  type WalIndexHeader,
} from '../sqlite/wal-index.ts'
import { errorCode } from '../util/errors.ts'
import { type Files, isAt, nodeFiles } from '../util/files.ts'
import { WalIndexMarks } from './wal-index-marks.ts'

const { write, checkpoint, read, deadManSwitch } = WAL_INDEX_LOCK
/** The read mark that the guard uses, and its lock. */
const MARK = READ_MARKS - 1
const slot = read + MARK
/** A header that is being written is valid again some nanoseconds later. */
const HEADER_TRIES = 100

/**
 * What keeps a writer from beginning the WAL anew while an application's checkpointer runs, which is the WAL-reset bug:
 *
 * - `slot`: a shared lock on the last read mark, which is unused. Nobody can begin the WAL anew; everyone can
 *   checkpoint.
 * - `checkpoint`: the checkpoint lock. Nobody can checkpoint; a writer can begin the WAL anew.
 * - `restart`: read lock 0, exclusively. A writer needs it to begin the WAL anew; an application's RESTART or TRUNCATE
 *   does not.
 */
export type Guard = 'slot' | 'checkpoint' | 'restart'

/**
 * The `-shm` of a database that applications write. From `take` to `release` this process holds one of the guards. It
 * takes every other lock only for as long as a checkpoint needs it, and changes only the fields that belong to a
 * checkpointer.
 */
export class SharedWalIndex {
  readonly marks: WalIndexMarks
  readonly #files: Files
  readonly #path: string
  readonly #fd: number
  readonly #locks: RangeLocks
  #guard: Guard = 'checkpoint'

  private constructor(files: Files, path: string, fd: number) {
    this.#files = files
    this.#path = path
    this.#fd = fd
    this.#locks = new RangeLocks(fd)
    this.marks = new WalIndexMarks(fd, this.#locks)
  }

  /**
   * undefined when no connection uses a wal-index, SQLite has to rebuild the index, or the guard cannot be had. A
   * rebuild takes every lock, so all must be free until then.
   */
  static take(files: Files, databasePath: string, guard: 'slot' | 'checkpoint' = 'checkpoint') {
    const path = `${databasePath}-shm`
    const fd = openExisting(files, path, fs.constants.O_RDWR)
    if (fd === undefined) return undefined
    const index = new SharedWalIndex(files, path, fd)
    try {
      if (index.header() !== undefined && guard === 'slot' && index.#takeSlot()) index.#guard = 'slot'
      const isHeld = index.header() !== undefined && (index.#guard === 'slot' || index.lockCheckpoints())
      if (isHeld && index.isUsable() && index.isInUse()) return index
    } catch (error) {
      index.release()
      throw error
    }
    index.release()
    return undefined
  }

  /** undefined when SQLite has to rebuild the wal-index. */
  header(): WalIndexHeader | undefined {
    for (let left = HEADER_TRIES; left > 0; left--) {
      const header = this.marks.header()
      if (header !== undefined) return header
    }
    return undefined
  }

  /**
   * Whether this is still the file beside the database, and SQLite does not have to rebuild it. A connection that has
   * the dead man's switch exclusively has found nobody else and is about to empty the index: what it says until then is
   * of a WAL that may be gone, and of a database that may have been made anew.
   */
  isUsable(): boolean {
    return this.isAtPath() && !this.#locks.isExclusivelyHeld(deadManSwitch) && this.header() !== undefined
  }

  /** Whether this is still the file beside the database. */
  isAtPath(): boolean {
    return isAt(this.#files, this.#path, this.#fd)
  }

  get inode(): number {
    return fs.fstatSync(this.#fd).ino
  }

  /**
   * Whether a connection has the wal-index open. This process does not hold the lock by which connections know that
   * (the dead man's switch): a database that is made anew after the last one has closed must not take the old index for
   * its own. It empties the index, and waits for the checkpoint lock before it fills it again; so while that lock is
   * held, a valid header is the one of the WAL that was there. Nor does it take the lock for a moment to see: a
   * connection with `readonly_shm` would report that the database is locked, and call no busy handler.
   */
  isInUse(): boolean {
    return this.#locks.isHeld(deadManSwitch)
  }

  /**
   * Locks out readers that read the database file alone. Until `unlockFileReads` no writer restarts the WAL, so what is
   * read of the wal-index after this call stays true. False while such a reader is active.
   */
  lockFileReads(): boolean {
    return this.#locks.exclusive(read)
  }

  unlockFileReads(): void {
    this.#locks.unlock(read)
  }

  /** Takes SQLite's write lock: until `unlockWrites` no transaction begins. False while one is under way. */
  lockWrites(): boolean {
    return this.#locks.exclusive(write)
  }

  unlockWrites(): void {
    this.#locks.unlock(write)
  }

  /** Whether no reader uses the WAL at this moment. */
  get isUnread(): boolean {
    return this.#locks.whileExclusive(read + 1, 4, () => true) === true
  }

  /** The page number of each frame, in order. */
  *pageNumbers(firstFrame: number, lastFrame: number): Generator<number> {
    for (let frame = firstFrame; frame <= lastFrame;) {
      const number = blockOfFrame(frame)
      const bytes = new Uint8Array(WAL_INDEX_BLOCK_SIZE)
      nodeFiles.read(this.#fd, bytes, 0, bytes.length, number * WAL_INDEX_BLOCK_SIZE)
      const block = new WalIndexBlock(number, bytes)
      const end = Math.min(lastFrame, frameBeforeBlock(number) + block.capacity)
      for (; frame <= end; frame++) yield block.pgno(frame)
    }
  }

  get guard(): Guard {
    return this.#guard
  }

  /** Whether an application checkpoints. */
  get isCheckpointed(): boolean {
    return this.#locks.isHeld(checkpoint)
  }

  /**
   * Changes the guard, if the other one can be had now. At any moment at least one is held, and the checkpoint lock is
   * taken before the mark is let go: no checkpoint of an application is under way then.
   */
  guardBy(guard: Guard): void {
    const from = this.#guard
    if (from === guard || !this.#takeGuard(guard)) return
    this.#guard = guard
    if (from === 'slot') this.#locks.unlock(slot)
    else this.#locks.unlock(from === 'checkpoint' ? checkpoint : read)
  }

  #takeGuard(guard: Guard): boolean {
    if (guard === 'slot') return this.#takeSlot()
    return this.#locks.exclusive(guard === 'checkpoint' ? checkpoint : read)
  }

  /** False while a reader uses the mark. */
  #takeSlot(): boolean {
    if (!this.#locks.exclusive(slot)) return false
    this.marks.setReadMark(MARK, READ_MARK_UNUSED)
    return this.#locks.shared(slot)
  }

  /**
   * Whether the mark is still unused. A connection that found nobody else has emptied the index and rebuilt it; then
   * this sets the mark again. False if that cannot be done.
   */
  keepsMark(): boolean {
    return this.#guard !== 'slot' || this.marks.readMark(MARK) === READ_MARK_UNUSED || this.#takeSlot()
  }

  /** Begins a checkpoint of this process. False while an application checkpoints. */
  beginCheckpoint(): boolean {
    if (this.#guard !== 'slot') return this.#guard === 'checkpoint'
    if (!this.lockCheckpoints()) return false
    if (this.keepsMark()) return true
    this.unlockCheckpoints()
    return false
  }

  endCheckpoint(): void {
    if (this.#guard !== 'checkpoint') this.unlockCheckpoints()
  }

  /**
   * Begins the WAL anew, as SQLite's RESTART checkpoint does, if all of it is in the file and nobody reads or writes.
   * Only under the checkpoint lock.
   */
  restart(): boolean {
    const done = this.#locks.whileExclusive(write, 1, () =>
      // A read transaction that uses the file alone can still become a write transaction: it must find its snapshot.
      this.#locks.whileExclusive(read, READ_MARKS, () => {
        const header = this.header()
        if (header === undefined || header.maxFrame === 0 || this.marks.backfilled() !== header.maxFrame) return false
        const salts = { salt1: (header.salt1 + 1) >>> 0, salt2: randomBytes(4).readUInt32BE() }
        this.marks.restart({ ...header, ...salts, maxFrame: 0 })
        return true
      }),
    )
    return done === true
  }

  /** Releases the checkpoint lock: until `lockCheckpoints`, applications can checkpoint. */
  unlockCheckpoints(): void {
    this.#locks.unlock(checkpoint)
  }

  /** Takes the checkpoint lock again. False while another process checkpoints. */
  lockCheckpoints(): boolean {
    return this.#locks.exclusive(checkpoint)
  }

  /** Releases every lock: applications can checkpoint from here on. */
  release(): void {
    nodeFiles.close(this.#fd)
  }
}

/** undefined when there is no such file. */
export function openExisting(files: Files, path: string, flags: number): number | undefined {
  try {
    return files.open(path, flags)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}
