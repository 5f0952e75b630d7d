import type { FrameSink } from '../format/frame.ts'
import type { Pgno } from '../format/types.ts'
import type { CRCRegister } from '../kernels/crc.ts'
import { type FrameOrder, saveFrames, type SequenceHash } from '../kernels/decoded-frames.ts'
import { FRAME_PREFIX_SIZE, FRAME_WORDS, MAX_FRAMES } from '../kernels/instance.ts'

/**
 * Frames with blocks that lie whole in one chunk. One call decompresses and digests them all; `next` then moves from
 * one to the next. The chunk is not copied: it must not change meanwhile.
 */
export class FrameBatch {
  source: Uint8Array = NOTHING
  /** Where in `source` the current frame begins. */
  start = 0
  /** Bytes of the whole current frame, page header included. */
  sizeBytes = 0
  /** FRAME_WORDS for each frame. */
  words = new Int32Array(0)
  count = 0
  #at = -FRAME_WORDS

  /** Decodes such frames from `start` on. False if `source` has no valid one there. */
  decode(
    crc: CRCRegister,
    source: Uint8Array,
    start: number,
    pageSize: number,
    order: FrameOrder,
    hash: SequenceHash,
  ): boolean {
    const count = crc.decodeFrames(source, start, pageSize, order, hash)
    if (this.words.length < FRAME_WORDS * count) {
      this.words = new Int32Array(FRAME_WORDS * Math.min(MAX_FRAMES, count + (count >> 1)))
    }
    if (count > 0) saveFrames(this.words, count)
    this.source = source
    this.start = start
    this.sizeBytes = 0
    this.count = count
    this.#at = -FRAME_WORDS
    return count > 0
  }

  /** Moves to the next frame. False after the last one. */
  next(): boolean {
    const at = this.#at + FRAME_WORDS
    if (at >= FRAME_WORDS * this.count) return false
    this.#at = at
    this.start += this.sizeBytes
    this.sizeBytes = FRAME_PREFIX_SIZE + this.words[at + 1]!
    return true
  }

  get pgno(): Pgno {
    return this.words[this.#at]! >>> 0
  }

  get lastPgno(): Pgno {
    return this.words[FRAME_WORDS * (this.count - 1)]! >>> 0
  }

  /** Appends the current frame to a file of the same page size. */
  copyTo(sink: FrameSink): void {
    const { words, start, sizeBytes } = this
    const at = this.#at
    const frame = this.source.subarray(start, start + sizeBytes)
    sink.copyDigested(words[at]! >>> 0, frame, words[at + 2]!, words[at + 3]!)
  }
}

const NOTHING = new Uint8Array(0)
