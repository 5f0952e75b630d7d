import fs from 'node:fs'
import { WAL_INDEX_LOCK } from '../sqlite/locks.ts'
import { RangeLocks } from '../sqlite/range-locks.ts'
import {
  blockOfFrame,
  frameBeforeBlock,
  marshalWalIndexHeader,
  READ_MARK_UNUSED,
  READ_MARKS,
  WAL_INDEX_BLOCK_SIZE,
  WAL_INDEX_HEADER_SIZE,
  WalIndexBlock,
  type WalIndexHeader,
} from '../sqlite/wal-index.ts'
import { nodeFiles } from '../util/files.ts'
import type { DatabaseFile } from './database-file.ts'
import { ApplyBlockedError } from './errors.ts'
import { WalIndexMarks } from './wal-index-marks.ts'

const { write, checkpoint, recover, read, deadManSwitch } = WAL_INDEX_LOCK
/** The read mark that stays unused while others may take the write lock, and its lock. */
const MARK = READ_MARKS - 1
const slot = read + MARK

/**
 * The `-shm` of a database. It holds SQLite's checkpoint lock until it is closed, and the write lock until then or
 * `unlockWrites`, so other processes change only its read marks. It uses plain writes, which the kernel keeps coherent
 * with the mappings of SQLite's readers.
 */
export class WalIndexFile {
  readonly #path: string
  readonly fd: number
  readonly locks: RangeLocks
  readonly #marks: WalIndexMarks
  /** No other process had the file open, so its old content does not count. */
  readonly isFresh: boolean
  /** The block to which `add` appends frames. */
  #block = new WalIndexBlock(0)
  #sizeBytes: number
  #holdsSlot = false

  private constructor(path: string, fd: number) {
    this.#path = path
    this.fd = fd
    this.locks = new RangeLocks(fd)
    this.#marks = new WalIndexMarks(fd, this.locks)
    this.isFresh = this.#lock()
    if (this.isFresh) nodeFiles.truncate(fd, 0)
    this.#sizeBytes = nodeFiles.size(fd)
    if (this.isFresh && !this.locks.shared(deadManSwitch)) throw this.#blocked('another process is opening it')
  }

  /** Throws ApplyBlockedError while another process writes or checkpoints. */
  static open(database: DatabaseFile): WalIndexFile {
    const fd = database.openBeside('-shm', fs.constants.O_RDWR | fs.constants.O_CREAT)
    try {
      return new WalIndexFile(database.path, fd)
    } catch (error) {
      nodeFiles.close(fd)
      throw error
    }
  }

  #lock(): boolean {
    const { locks } = this
    const alone = locks.exclusive(deadManSwitch)
    if (!alone && !locks.shared(deadManSwitch)) throw this.#blocked('another process is opening it')
    if (!locks.exclusive(write)) throw this.#blocked(`${locks.holder(write)} has a write transaction open`)
    if (!locks.exclusive(checkpoint)) throw this.#blocked('another process is checkpointing it')
    return alone
  }

  #blocked(reason: string): ApplyBlockedError {
    return new ApplyBlockedError(this.#path, reason)
  }

  /** Throws ApplyBlockedError while another process has a write transaction open. */
  lockWrites(): void {
    if (this.locks.exclusive(write)) return
    throw this.#blocked(`${this.locks.holder(write)} has a write transaction open`)
  }

  /**
   * Lets others take the write lock. Whatever they write is rejected, but SQLite begins a WAL that is copied anew in
   * the wal-index before it writes the first frame (wal.c, walRestartLog). For that it needs the lock of each mark but
   * 0, so this process keeps one. While a reader uses that mark, the write lock stays here.
   */
  unlockWrites(): void {
    this.#holdsSlot ||= this.#takeSlot()
    if (this.#holdsSlot) this.locks.unlock(write)
  }

  #takeSlot(): boolean {
    if (!this.locks.exclusive(slot)) return false
    this.#marks.setReadMark(MARK, READ_MARK_UNUSED)
    return this.locks.shared(slot)
  }

  /** undefined when the wal-index must be rebuilt. */
  header(): WalIndexHeader | undefined {
    return this.#marks.header()
  }

  /** The page number of each frame from 1 to `maxFrame`, in order. */
  *pageNumbers(maxFrame: number): Generator<number> {
    for (let frame = 1; frame <= maxFrame;) {
      const block = this.#load(blockOfFrame(frame))
      const end = Math.min(maxFrame, frameBeforeBlock(block.number) + block.capacity)
      for (; frame <= end; frame++) yield block.pgno(frame)
    }
  }

  /** Prepares to add frames after `maxFrame`, and clears the entries that an interrupted writer left there. */
  resume(maxFrame: number): void {
    const number = blockOfFrame(Math.max(1, maxFrame))
    this.#block = this.#load(number)
    if (this.#block.cut(maxFrame)) this.#writeBlock({ start: this.#block.start, end: WAL_INDEX_BLOCK_SIZE })
  }

  /** Adds frames, numbered from `firstFrame`. Readers see them only after `publish`. */
  add(firstFrame: number, pgnos: Uint32Array): void {
    let first = firstFrame
    for (let i = 0; i < pgnos.length; i++) {
      const frame = firstFrame + i
      const number = blockOfFrame(frame)
      const isFirst = frame === frameBeforeBlock(number) + 1
      if (isFirst) {
        if (frame > first) this.#writeChanges(first, frame - 1)
        this.#block = new WalIndexBlock(number)
        first = frame
      }
      this.#block.add(frame, pgnos[i] ?? 0)
    }
    this.#writeChanges(first, firstFrame + pgnos.length - 1)
  }

  /**
   * Publishes the WAL up to this header's last frame to SQLite's readers. Writes both copies at once. A reader that
   * sees half of the write finds different copies or a wrong checksum and reads again, as it does between the two
   * stores of SQLite's own writers.
   */
  publish(header: WalIndexHeader): void {
    const copy = marshalWalIndexHeader(header)
    const bytes = new Uint8Array(2 * WAL_INDEX_HEADER_SIZE)
    bytes.set(copy)
    bytes.set(copy, WAL_INDEX_HEADER_SIZE)
    this.#write(bytes, 0, bytes.length, 0)
  }

  /** Writes the state after a recovery: nothing is backfilled, and every read mark that nobody holds is free. */
  recover(header: WalIndexHeader, pgnos: Uint32Array): void {
    if (!this.locks.exclusive(recover)) throw this.#blocked('another process is recovering it')
    try {
      if (this.#sizeBytes < WAL_INDEX_BLOCK_SIZE) this.#extend(1)
      if (pgnos.length > 0) this.add(1, pgnos)
      else this.#block = new WalIndexBlock(0)
      this.setBackfilled(0, header.maxFrame)
      for (let mark = 1; mark < READ_MARKS; mark++) {
        this.locks.whileExclusive(read + mark, 1, () => {
          this.#marks.setReadMark(mark, mark === 1 && header.maxFrame > 0 ? header.maxFrame : READ_MARK_UNUSED)
        })
      }
      this.publish(header)
    } finally {
      this.locks.unlock(recover)
    }
  }

  /**
   * Restarts the WAL with `header`, which has no frames and new salts. False while a reader uses the WAL. All frames
   * must have been backfilled.
   */
  restart(header: WalIndexHeader): boolean {
    if (!this.locks.exclusive(read + 1, READ_MARKS - 1)) return false
    try {
      this.publish(header)
      this.setBackfilled(0, 0)
      this.#marks.setReadMark(1, 0)
      for (let mark = 2; mark < READ_MARKS; mark++) this.#marks.setReadMark(mark, READ_MARK_UNUSED)
      return true
    } finally {
      if (this.#holdsSlot) this.locks.shared(slot)
      this.locks.unlock(read + 1, this.#holdsSlot ? READ_MARKS - 2 : READ_MARKS - 1)
    }
  }

  /** The last frame up to which the WAL is in the database file. */
  backfilled(): number {
    return this.#marks.backfilled()
  }

  setBackfilled(frame: number, attempted = frame): void {
    this.#marks.setBackfilled(frame, attempted)
  }

  /** The last frame that may be copied into the database file. */
  safeFrame(maxFrame: number): number {
    return this.#marks.safeFrame(maxFrame)
  }

  /** Until `unlockFile` no reader reads the database file alone. False when one does. */
  lockFile(): boolean {
    return this.locks.exclusive(read)
  }

  unlockFile(): void {
    this.locks.unlock(read)
  }

  close(): void {
    nodeFiles.close(this.fd)
  }

  #load(number: number): WalIndexBlock {
    const bytes = new Uint8Array(WAL_INDEX_BLOCK_SIZE)
    nodeFiles.read(this.fd, bytes, 0, bytes.length, number * WAL_INDEX_BLOCK_SIZE)
    return new WalIndexBlock(number, bytes)
  }

  #writeChanges(firstFrame: number, lastFrame: number): void {
    const block = this.#block
    const changes = block.takeChanges(firstFrame, lastFrame)
    if (firstFrame === frameBeforeBlock(block.number) + 1) {
      this.#extend(block.number + 1)
      this.#writeBlock({ start: block.start, end: WAL_INDEX_BLOCK_SIZE })
      return
    }
    // One write, with the unchanged bytes between the changes: through a mount each write is a request, which costs
    // more than some kilobytes.
    const start = Math.min(...changes.map((change) => change.start))
    this.#writeBlock({ start, end: Math.max(...changes.map((change) => change.end)) })
  }

  #writeBlock({ start, end }: { readonly start: number; readonly end: number }): void {
    const { bytes, number } = this.#block
    this.#write(bytes, start, end - start, number * WAL_INDEX_BLOCK_SIZE + start)
  }

  /** Writes real zeros: readers map the file, and a hole that a full disk cannot fill would kill them. */
  #extend(blocks: number): void {
    const missing = blocks * WAL_INDEX_BLOCK_SIZE - this.#sizeBytes
    if (missing <= 0) return
    this.#write(new Uint8Array(missing), 0, missing, this.#sizeBytes)
    this.#sizeBytes += missing
  }

  #write(bytes: Uint8Array, at: number, length: number, position: number): void {
    nodeFiles.write(this.fd, bytes, at, length, position)
  }
}
