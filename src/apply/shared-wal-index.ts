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
import { nodeFiles } from '../util/files.ts'
import { WalIndexMarks } from './wal-index-marks.ts'

const { write, checkpoint, read, deadManSwitch } = WAL_INDEX_LOCK
/** A header that is just being written is right again some nanoseconds later. */
const HEADER_TRIES = 100

/**
 * The `-shm` of a database that applications write. From `take` to `release` this process holds the lock for
 * checkpoints, and so nobody else checkpoints; every other lock is taken for as long as a checkpoint needs it. Nothing
 * is changed but what belongs to a checkpointer.
 */
export class SharedWalIndex {
  readonly marks: WalIndexMarks
  readonly #path: string
  readonly #fd: number
  readonly #locks: RangeLocks

  private constructor(path: string, fd: number) {
    this.#path = path
    this.#fd = fd
    this.#locks = new RangeLocks(fd)
    this.marks = new WalIndexMarks(fd, this.#locks)
  }

  /**
   * undefined where there is none in use, another process checkpoints, or SQLite has to rebuild it: that takes the
   * checkpoint lock, so it must stay free until then.
   */
  static take(databasePath: string): SharedWalIndex | undefined {
    const path = `${databasePath}-shm`
    const fd = openExisting(path, fs.constants.O_RDWR)
    if (fd === undefined) return undefined
    const index = new SharedWalIndex(path, fd)
    try {
      const isHeld = index.header() !== undefined && index.#locks.exclusive(checkpoint)
      if (isHeld && index.isUsable() && index.#isInUse()) return index
    } catch (error) {
      index.release()
      throw error
    }
    index.release()
    return undefined
  }

  /** undefined when it has to be rebuilt by SQLite. */
  header(): WalIndexHeader | undefined {
    for (let left = HEADER_TRIES; left > 0; left--) {
      const header = this.marks.header()
      if (header !== undefined) return header
    }
    return undefined
  }

  /** It is still the one beside the database, and SQLite does not wait for the chance to rebuild it. */
  isUsable(): boolean {
    const there = fs.statSync(this.#path, { throwIfNoEntry: false })
    return there?.ino === fs.fstatSync(this.#fd).ino && this.header() !== undefined
  }

  /**
   * Between this and `part` nobody takes it for left behind. False when nobody else has it open, so that it may be just
   * that.
   */
  join(): boolean {
    return this.#isInUse() && this.#locks.shared(deadManSwitch)
  }

  part(): void {
    this.#locks.unlock(deadManSwitch)
  }

  /**
   * Until `letFileBeRead` nobody reads the database file past the WAL, and no writer begins the WAL anew: whatever is
   * read of it after this call stays true. False while somebody does.
   */
  keepFileUnread(): boolean {
    return this.#locks.exclusive(read)
  }

  letFileBeRead(): void {
    this.#locks.unlock(read)
  }

  /** SQLite's write lock: between the two no transaction begins. False while one is under way. */
  keepUnwritten(): boolean {
    return this.#locks.exclusive(write)
  }

  letBeWritten(): void {
    this.#locks.unlock(write)
  }

  /** Whether no reader uses the WAL just now. */
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

  /** Until `takeBack`, applications checkpoint by themselves. */
  letCheckpoint(): void {
    this.#locks.unlock(checkpoint)
  }

  /** False while one of them does. */
  takeBack(): boolean {
    return this.#locks.exclusive(checkpoint)
  }

  /** Applications checkpoint by themselves from here on. */
  release(): void {
    nodeFiles.close(this.#fd)
  }

  #isInUse(): boolean {
    return this.#locks.whileExclusive(deadManSwitch, 1, () => true) === undefined
  }
}

/** undefined when there is no such file. Never follows a link that somebody put there. */
export function openExisting(path: string, flags: number): number | undefined {
  try {
    return nodeFiles.open(path, flags | fs.constants.O_NOFOLLOW)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}
