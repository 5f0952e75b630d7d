import type { Checksum, Pgno } from '../ltx/format/types.ts'

const FIRST_CAPACITY = 1024
/** A longer WAL's arrays are not kept for the next one. */
const KEPT_CAPACITY = 1 << 16

/**
 * The page versions that the WAL holds since it began: for each frame that ended a transaction's changes of a page, the
 * page, its checksum, and the frame of the version before. A checkpoint may copy any of them, because a reader can hold
 * it back behind the newest. 16 bytes a frame, 4 bytes a page.
 */
export class WalVersions {
  #sums = new BigUint64Array(0)
  /** 0: the frame holds no such version. */
  #pgnos = new Uint32Array(0)
  /** The frame of the page's version before, plus 1; 0: there is none. */
  #previous = new Int32Array(0)
  /** The page's newest frame, plus 1. Stale after `clear`, so the frame must name the page as well. */
  #newest = new Int32Array(0)
  #count = 0

  add(pgno: Pgno, frame: number, checksum: Checksum): void {
    this.#reserve(pgno, frame)
    // Frames are added in the order of their pages, and a superseded one never is.
    if (frame >= this.#count) {
      this.#pgnos.fill(0, this.#count, frame + 1)
      this.#count = frame + 1
    }
    let previous = this.#frameOf(pgno)
    while (previous >= frame) previous = this.#before(previous)
    this.#pgnos[frame] = pgno
    this.#sums[frame] = checksum
    this.#previous[frame] = previous + 1
    this.#newest[pgno - 1] = frame + 1
  }

  /** The frames that hold a version of the page, newest first. */
  *frames(pgno: Pgno): Generator<number> {
    for (let frame = this.#frameOf(pgno); frame >= 0; frame = this.#before(frame)) yield frame
  }

  /** Whether some frame holds a version of the page. */
  hasAny(pgno: Pgno): boolean {
    return this.#frameOf(pgno) >= 0
  }

  has(pgno: Pgno, checksum: Checksum): boolean {
    for (let frame = this.#frameOf(pgno); frame >= 0; frame = this.#before(frame)) {
      if (this.#sums[frame] === checksum) return true
    }
    return false
  }

  /** The frames from `frame` on were abandoned. */
  cut(frame: number): void {
    for (let at = frame; at < this.#count; at++) {
      const pgno = this.#pgnos[at] as Pgno
      if (pgno === 0) continue
      let newest = this.#frameOf(pgno)
      while (newest >= frame) newest = this.#before(newest)
      this.#newest[pgno - 1] = newest + 1
    }
    this.#count = Math.min(this.#count, frame)
  }

  /** The WAL is discarded. */
  clear(): void {
    this.#count = 0
    if (this.#pgnos.length <= KEPT_CAPACITY) return
    this.#sums = new BigUint64Array(0)
    this.#pgnos = new Uint32Array(0)
    this.#previous = new Int32Array(0)
  }

  #frameOf(pgno: Pgno): number {
    const frame = (this.#newest[pgno - 1] ?? 0) - 1
    return frame < this.#count && this.#pgnos[frame] === pgno ? frame : -1
  }

  #before(frame: number): number {
    return (this.#previous[frame] as number) - 1
  }

  #reserve(pgno: Pgno, frame: number): void {
    if (frame >= this.#pgnos.length) {
      const capacity = Math.max(FIRST_CAPACITY, frame + 1, this.#pgnos.length * 2)
      this.#sums = grown(new BigUint64Array(capacity), this.#sums)
      this.#pgnos = grown(new Uint32Array(capacity), this.#pgnos)
      this.#previous = grown(new Int32Array(capacity), this.#previous)
    }
    if (pgno > this.#newest.length) {
      this.#newest = grown(new Int32Array(Math.max(64, pgno, this.#newest.length * 2)), this.#newest)
    }
  }
}

function grown<T extends { set(from: T): void }>(into: T, from: T): T {
  into.set(from)
  return into
}
