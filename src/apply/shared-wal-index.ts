import fs from 'node:fs'
import { WAL_INDEX_LOCK } from '../sqlite/locks.ts'
import { RangeLocks } from '../sqlite/range-locks.ts'
import {
  blockOfFrame,
  frameBeforeBlock,
  WAL_INDEX_BLOCK_SIZE,
  WalIndexBlock,
  type WalIndexHeader,
} from '../sqlite/wal-index.ts'
import { errorCode } from '../util/errors.ts'
import { type Files, isAt, nodeFiles } from '../util/files.ts'
import { WalIndexMarks } from './wal-index-marks.ts'

const { write, checkpoint, read, deadManSwitch } = WAL_INDEX_LOCK
/** A header that is being written is valid again some nanoseconds later. */
const HEADER_TRIES = 100

/**
 * The `-shm` of a database that applications write. From `take` to `release` this process holds the checkpoint lock, so
 * nobody else checkpoints. It takes every other lock only for as long as a checkpoint needs it, and changes only the
 * fields that belong to a checkpointer.
 */
export class SharedWalIndex {
  readonly marks: WalIndexMarks
  readonly #files: Files
  readonly #path: string
  readonly #fd: number
  readonly #locks: RangeLocks

  private constructor(files: Files, path: string, fd: number) {
    this.#files = files
    this.#path = path
    this.#fd = fd
    this.#locks = new RangeLocks(fd)
    this.marks = new WalIndexMarks(fd, this.#locks)
  }

  /**
   * undefined when no connection uses a wal-index, another process checkpoints, or SQLite has to rebuild the index. A
   * rebuild takes the checkpoint lock, so the lock must be free until then.
   */
  static take(files: Files, databasePath: string): SharedWalIndex | undefined {
    const path = `${databasePath}-shm`
    const fd = openExisting(files, path, fs.constants.O_RDWR)
    if (fd === undefined) return undefined
    const index = new SharedWalIndex(files, path, fd)
    try {
      const isHeld = index.header() !== undefined && index.#locks.exclusive(checkpoint)
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

  /** Whether this is still the file beside the database, and SQLite does not have to rebuild it. */
  isUsable(): boolean {
    return this.isAtPath() && this.header() !== undefined
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
   * held, a valid header is the one of the WAL that was there.
   */
  isInUse(): boolean {
    return this.#locks.whileExclusive(deadManSwitch, 1, () => true) === undefined
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
