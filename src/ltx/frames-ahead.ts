import {
  FRAME_PREFIX_SIZE,
  FRAME_WORDS,
  MAX_FRAMES,
  saveFrames,
  type CRCRegister,
  type Digest,
} from './kernels/kernels.ts'

/** Frames that were decompressed and digested together, before they are asked for one by one. */
export class FramesAhead {
  #words = new Int32Array(0)
  #next = 0
  #end = 0

  /** Decodes what `source` has of whole frames with blocks from `start` on. False where there is none that is valid. */
  decode(crc: CRCRegister, source: Uint8Array, start: number, pageSize: number): boolean {
    const count = crc.decodeFrames(source, start, pageSize)
    this.#next = 0
    this.#end = FRAME_WORDS * count
    if (this.#words.length < this.#end) {
      this.#words = new Int32Array(FRAME_WORDS * Math.min(MAX_FRAMES, count + (count >> 1)))
    }
    if (count > 0) saveFrames(this.#words, count)
    return count > 0
  }

  /** True while there is a frame, which the rest is about. */
  get waiting(): boolean {
    return this.#next < this.#end
  }

  get pgno(): number {
    return this.#words[this.#next]! >>> 0
  }

  get sizeBytes(): number {
    return FRAME_PREFIX_SIZE + this.#words[this.#next + 1]!
  }

  /** Fills in its page's digest, and goes to the next frame. */
  take(digest: Digest): void {
    digest.low = this.#words[this.#next + 2]!
    digest.high = this.#words[this.#next + 3]!
    this.#next += FRAME_WORDS
  }
}
