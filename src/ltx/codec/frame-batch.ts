import type { FrameSink } from '../format/frame.ts'
import type { Pgno } from '../format/types.ts'
import type { CRCRegister } from '../kernels/crc.ts'
import { type FrameOrder, saveFrames, type SequenceHash } from '../kernels/decoded-frames.ts'
import { FRAME_PREFIX_SIZE, FRAME_WORDS, MAX_FRAMES } from '../kernels/instance.ts'

/**
 * Frames with blocks that one chunk has whole, decompressed and digested in one call, and then gone through one by one: `next` before each. Of
 * the chunk nothing is copied, so it has to stay as it is.
 */
export class FrameBatch {
  source: Uint8Array = NOTHING
  /** Where in `source` the frame begins that it is at. */
  start = 0
  /** Bytes of the whole frame, page header included. */
  sizeBytes = 0
  /** FRAME_WORDS for each. */
  words = new Int32Array(0)
  count = 0
  #at = -FRAME_WORDS

  /** Takes what `source` has of such frames from `start` on. False where there is none that is valid. */
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

  /** Goes to the next frame. False after the last one. */
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

  /** Appends the frame to a file of the same page size. */
  copyTo(sink: FrameSink): void {
    const { words, start, sizeBytes } = this
    const at = this.#at
    const frame = this.source.subarray(start, start + sizeBytes)
    sink.copyDigested(words[at]! >>> 0, frame, words[at + 2]!, words[at + 3]!)
  }
}

const NOTHING = new Uint8Array(0)
