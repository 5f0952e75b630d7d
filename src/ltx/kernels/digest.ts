/** Digests of single pages, from which both kinds of checksum are made: a file's, and a database's. */
import { FRAME_WORDS, kernels, PAGE, result, slots } from './instance.ts'
import { stage } from './staging.ts'

/** What a page contributes to any CRC register, so that its bytes are read once, however many checksums need them. */
export class Digest {
  low = 0
  high = 0

  /** Saves the digest of the page that was digested last. */
  save(): void {
    this.low = slots[2]!
    this.high = slots[3]!
  }

  load(): void {
    slots[2] = this.low
    slots[3] = this.high
  }
}

/** Stages a page and digests it. */
export function digestPage(page: Uint8Array): void {
  stage(page, PAGE)
  kernels.digestPage(page.length)
}

/** Digests the page that `decompressInto` and `copyInto` have staged. */
export function digestStagedPage(pageSize: number): void {
  kernels.digestPage(pageSize)
}

/** Checksum of the page that was digested last. */
export function digestChecksum(pgno: number, pageSize: number): bigint {
  kernels.pageChecksum(pgno, pageSize)
  return result[0]!
}

/** A database's rolling checksum. Bit 63 is set when it is read. */
export class ChecksumFold {
  #low = 0
  #high = 0

  /** Adds the page that was digested last. */
  add(pgno: number, pageSize: number): void {
    kernels.pageChecksum(pgno, pageSize)
    this.#low ^= slots[4]!
    this.#high ^= slots[5]!
  }

  /** Adds the pages of `count` frames: see FRAME_WORDS. */
  addAll(words: Int32Array, count: number, pageSize: number): void {
    for (let at = 0; at < FRAME_WORDS * count; at += FRAME_WORDS) {
      slots[2] = words[at + 2]!
      slots[3] = words[at + 3]!
      this.add(words[at]! >>> 0, pageSize)
    }
  }

  checksum(): bigint {
    return (BigInt(this.#high >>> 0) << 32n) | BigInt(this.#low >>> 0) | (1n << 63n)
  }
}
