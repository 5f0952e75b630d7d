import { WAL_INDEX_LOCK } from '../sqlite/locks.ts'
import type { RangeLocks } from '../sqlite/range-locks.ts'
import {
  CHECKPOINT_INFO,
  marshalWalIndexHeader,
  nativeU32,
  READ_MARK_UNUSED,
  READ_MARKS,
  setNativeU32,
  unmarshalWalIndexHeader,
  WAL_INDEX_HEADER_SIZE,
  type WalIndexHeader,
} from '../sqlite/wal-index.ts'
import { nodeFiles, readerOf } from '../util/files.ts'

const { read } = WAL_INDEX_LOCK

/**
 * The fields of a wal-index that a checkpointer reads and writes: how much of the WAL is in the database file, and how
 * much readers still need. The caller holds SQLite's checkpoint lock. Source: wal.c, walCheckpoint.
 */
export class WalIndexMarks {
  readonly #fd: number
  readonly #locks: RangeLocks

  constructor(fd: number, locks: RangeLocks) {
    this.#fd = fd
    this.#locks = locks
  }

  /** undefined when the two copies differ or are invalid: a write is under way, or the index must be rebuilt. */
  header(): WalIndexHeader | undefined {
    return unmarshalWalIndexHeader(this.#read(0, 2 * WAL_INDEX_HEADER_SIZE))
  }

  /** The last frame up to which the WAL is in the database file. */
  backfilled(): number {
    return nativeU32(this.#read(CHECKPOINT_INFO.backfilled, 4), 0)
  }

  /** Writes the field together with read mark 0, which is always 0: no reader sees half of eight aligned bytes. */
  setBackfilled(frame: number, attempted = frame): void {
    const bytes = new Uint8Array(8)
    setNativeU32(bytes, 0, attempted)
    this.#write(bytes, 4, CHECKPOINT_INFO.backfillAttempted)
    setNativeU32(bytes, 0, frame)
    this.#write(bytes, 8, CHECKPOINT_INFO.backfilled)
  }

  /**
   * The last frame that may be copied into the database file: none beyond any reader's snapshot. Moves read marks that
   * nobody holds forward, as SQLite does.
   */
  safeFrame(maxFrame: number): number {
    let safe = maxFrame
    for (let mark = 1; mark < READ_MARKS; mark++) {
      const frame = this.readMark(mark)
      if (frame >= safe) continue
      const moved = this.#locks.whileExclusive(read + mark, 1, () => {
        this.setReadMark(mark, mark === 1 ? safe : READ_MARK_UNUSED)
        return true
      })
      if (moved !== true) safe = frame
    }
    return safe
  }

  /** Begins the WAL anew, in one write. Only under the write lock and the locks of all marks but 0. */
  restart(header: WalIndexHeader): void {
    const bytes = new Uint8Array(CHECKPOINT_INFO.end)
    const copy = marshalWalIndexHeader(header)
    bytes.set(copy)
    bytes.set(copy, WAL_INDEX_HEADER_SIZE)
    for (let mark = 2; mark < READ_MARKS; mark++) {
      setNativeU32(bytes, CHECKPOINT_INFO.readMarks + 4 * mark, READ_MARK_UNUSED)
    }
    this.#write(bytes, bytes.length, 0)
  }

  readMark(mark: number): number {
    return nativeU32(this.#read(CHECKPOINT_INFO.readMarks + 4 * mark, 4), 0)
  }

  /** Only under the mark's lock. */
  setReadMark(mark: number, frame: number): void {
    const bytes = new Uint8Array(4)
    setNativeU32(bytes, 0, frame)
    this.#write(bytes, 4, CHECKPOINT_INFO.readMarks + 4 * mark)
  }

  #read(position: number, length: number): Uint8Array {
    return readerOf(nodeFiles, this.#fd)(position, length)
  }

  #write(bytes: Uint8Array, length: number, position: number): void {
    nodeFiles.write(this.#fd, bytes, 0, length, position)
  }
}
