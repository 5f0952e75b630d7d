import type { Pgno } from '../ltx/format/types.ts'
import { FRAME_HEADER_SIZE, frameField } from '../sqlite/wal.ts'
import type { Sums } from './wal-chain.ts'
import type { WalFrames } from './wal-frames.ts'

/**
 * Notes which frames of its own transaction a writer overwrites. When SQLite spills a page for the second time, it
 * writes the new content over the old, without the frame's header. From then on it appends frames with neither salts
 * nor checksums ("bare" frames). At the commit it rewrites the headers from the first overwritten frame on. Source:
 * `Wal.iReCksum` in wal.c.
 */
export class WalOverwrites {
  /** Index of the first frame that the transaction has overwritten: the writer's iReCksum. */
  #first: number | undefined
  /** The frame of which the last write ended with the header. */
  #headed = -1

  /** The bytes from `position` to `end` were written. Returns whether they begin the page of the last header. */
  wrote(frames: WalFrames, position: number, end: number): boolean {
    const frame = frames.indexOf(position)
    const pageAt = frames.offsetOf(frame) + FRAME_HEADER_SIZE
    const isAppended = position === pageAt && frame === this.#headed
    if (position === pageAt && !isAppended) this.#first = Math.min(this.#first ?? frame, frame)
    // A header with salts: its writer is not overwriting, or has begun to rewrite the headers.
    else if (this.#first !== undefined && position < pageAt && end >= pageAt) this.#headerWritten(frames, frame)
    const last = frames.indexOf(end - 1)
    this.#headed = end === frames.offsetOf(last) + FRAME_HEADER_SIZE ? last : -1
    return isAppended
  }

  /**
   * Explains a bare commit frame that begins at `at`; the chain of checksums is valid up to `validEnd`. undefined:
   * SQLite does not write that.
   */
  explain(frames: WalFrames, at: number, validEnd: number): BareCommit | undefined {
    const first = this.#first
    if (first === undefined) return undefined
    const last = frames.indexOf(at)
    const valid = frames.indexOf(validEnd)
    if (first <= valid) return REWRITTEN
    const pgnos: Pgno[] = []
    for (let index = valid; index <= last && index < first; index++) {
      const frame = frames.headerAt(frames.offsetOf(index))
      const isCommit = frameField.commit(frame, 0) !== 0
      if (frames.saltsOf(frame) !== 'bare' || isCommit !== (index === last)) return undefined
      pgnos.push(frameField.pgno(frame, 0))
    }
    return { pgnos, isFinal: first > last, sums: frames.sumsBefore(frames.offsetOf(first)) }
  }

  #headerWritten(frames: WalFrames, frame: number): void {
    if (frames.saltsOf(frames.headerAt(frames.offsetOf(frame))) === 'own') this.#first = undefined
  }
}

/**
 * What follows a bare commit frame. Usually SQLite rewrites the headers of all bare frames. Older versions (3.46 does,
 * 3.50.4 does not) forget in ROLLBACK TO that the first overwritten frame is gone. Bare frames before its place then
 * stay bare. If its place lies behind the commit frame, no write follows at all.
 */
export interface BareCommit {
  /** The pages of the frames, from the end of the valid ones on, that stay bare. */
  readonly pgnos: readonly Pgno[]
  /** The commit frame stays bare, too: the transaction is committed. */
  readonly isFinal: boolean
  /** The sums from which the writer continues; undefined if those of the valid frames. */
  readonly sums?: Sums
}

const REWRITTEN: BareCommit = { pgnos: [], isFinal: false }
