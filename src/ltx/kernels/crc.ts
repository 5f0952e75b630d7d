/** CRC-64/ISO in WebAssembly, over bytes and over frames, which are encoded and decoded in the same call. */
import type { FrameOrder, SequenceHash } from './decoded-frames.ts'
import type { Digest } from './digest.ts'
import { BLOCK, FRAME_WORDS, frames, kernels, MAX_PAGE_SIZE, PAGE, slots, WINDOW, WINDOW_BYTES } from './instance.ts'
import { blockBound } from './lz4-block.ts'
import { stage } from './staging.ts'

/**
 * A CRC register: the value before its final inversion. It starts with all ones. It enters and leaves WebAssembly as
 * two 32-bit halves, so no bigint is allocated for a page.
 */
export class CRCRegister {
  #low = -1
  #high = -1

  /** Adds any bytes. */
  update(bytes: Uint8Array): void {
    this.#load()
    for (let at = 0; at < bytes.length; at += MAX_PAGE_SIZE) {
      const part = bytes.length > MAX_PAGE_SIZE ? bytes.subarray(at, at + MAX_PAGE_SIZE) : bytes
      stage(part, PAGE)
      kernels.updateState(part.length)
    }
    this.#store()
  }

  /** Adds a frame without a block: its page header and the page that was digested last. */
  updatePage(pgno: number, pageSize: number): void {
    this.#load()
    kernels.updateFrame(pgno, 0, pageSize)
    this.#store()
  }

  /** Adds a frame whose block was made elsewhere, and whose page has this digest. */
  updateFrame(pgno: number, blockSize: number, pageSize: number, digest: Digest): void {
    digest.load()
    this.#load()
    kernels.updateFrame(pgno, blockSize, pageSize)
    this.#store()
  }

  /** Encodes `page` as a frame and adds the frame. Returns the block's size; `stagedFrame` returns the bytes. */
  encode(pgno: number, page: Uint8Array): number {
    stage(page, PAGE)
    this.#load()
    const blockSize = kernels.encodeFrame(pgno, page.length)
    this.#store()
    return blockSize
  }

  /** Decompresses a block into the staged page and adds its frame. False if it is not the block of one page. */
  decode(pgno: number, block: Uint8Array, pageSize: number): boolean {
    stage(block, BLOCK)
    this.#load()
    const valid = kernels.decodeFrame(pgno, block.length, pageSize) !== 0
    this.#store()
    return valid
  }

  /**
   * Decodes and adds the frames that `source` has from `start` on, up to the first one that is cut short, has no valid
   * block, or is out of `order`. Returns how many there were. Read them with `saveFrames` and `framesBytes` before the
   * next call of anything in this folder.
   */
  decodeFrames(source: Uint8Array, start: number, pageSize: number, order: FrameOrder, hash: SequenceHash): number {
    const end = Math.min(source.length, start + WINDOW_BYTES)
    stage(source.subarray(start, end), WINDOW)
    this.#load()
    hash.load()
    const { prevPgno, lastPgno, lockPgno, isDense } = order
    const bound = blockBound(pageSize)
    const count = kernels.decodeFrames(end - start, pageSize, bound, prevPgno, lastPgno, lockPgno, isDense ? 1 : 0)
    hash.store(count)
    this.#store()
    return count
  }

  /** Adds `count` frames that are written elsewhere: see FRAME_WORDS. */
  updateFrames(words: Int32Array, count: number, pageSize: number): void {
    frames.set(words.length > FRAME_WORDS * count ? words.subarray(0, FRAME_WORDS * count) : words)
    this.#load()
    kernels.updateFrames(count, pageSize)
    this.#store()
  }

  /** The CRC, with bit 63 set as on every stored checksum. */
  checksum(): bigint {
    return BigInt.asUintN(64, ~((BigInt(this.#high) << 32n) | BigInt(this.#low >>> 0))) | (1n << 63n)
  }

  #load(): void {
    slots[0] = this.#low
    slots[1] = this.#high
  }

  #store(): void {
    this.#low = slots[0]!
    this.#high = slots[1]!
  }
}
