import { WAL_INDEX_LOCK } from '../sqlite/locks.ts'
import type { RangeLocks } from '../sqlite/range-locks.ts'
import {
  CHECKPOINT_INFO,
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
 * What a checkpointer reads and writes of a wal-index: how far the WAL is in the database file, and how far readers
 * need it. All of it only under SQLite's checkpoint lock. Source: wal.c, walCheckpoint.
 */
export class WalIndexMarks {
  readonly #fd: number
  readonly #locks: RangeLocks

  constructor(fd: number, locks: RangeLocks) {
    this.#fd = fd
    this.#locks = locks
  }

  /** undefined when the two copies differ or are not right: just being written, or to be rebuilt. */
  header(): WalIndexHeader | undefined {
    return unmarshalWalIndexHeader(this.#read(0, 2 * WAL_INDEX_HEADER_SIZE))
  }

  /** Up to which frame the WAL is in the database file. */
  backfilled(): number {
    return nativeU32(this.#read(CHECKPOINT_INFO.backfilled, 4), 0)
  }

  /** Written together with read mark 0, which is always 0: eight aligned bytes are never seen by halves. */
  setBackfilled(frame: number, attempted = frame): void {
    const bytes = new Uint8Array(8)
    setNativeU32(bytes, 0, attempted)
    this.#write(bytes, 4, CHECKPOINT_INFO.backfillAttempted)
    setNativeU32(bytes, 0, frame)
    this.#write(bytes, 8, CHECKPOINT_INFO.backfilled)
  }

  /**
   * The last frame that may be copied into the database file: no further than any reader's snapshot. As SQLite does,
   * read marks that nobody holds are moved on.
   */
  safeFrame(maxFrame: number): number {
    let safe = maxFrame
    for (let mark = 1; mark < READ_MARKS; mark++) {
      const frame = nativeU32(this.#read(CHECKPOINT_INFO.readMarks + 4 * mark, 4), 0)
      if (frame >= safe) continue
      const moved = this.#locks.whileExclusive(read + mark, 1, () => {
        this.setReadMark(mark, mark === 1 ? safe : READ_MARK_UNUSED)
        return true
      })
      if (moved !== true) safe = frame
    }
    return safe
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
