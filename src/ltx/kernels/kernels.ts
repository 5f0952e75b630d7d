/**
 * The inner loops, in WebAssembly: CRC-64 and LZ4 over one page at a time.
 *
 * Everything here is synchronous and shares one staging area, so a page or a block stays in it only until the next call.
 * CRC registers go in and out as two 32-bit halves, so that no bigint is made for a page.
 */
import { KERNELS_BASE64 } from './module.ts'

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer }
  pageAddress(): number
  blockAddress(): number
  windowAddress(): number
  windowBytes(): number
  framesAddress(): number
  maxFrames(): number
  updateState(size: number): void
  digestPage(pageSize: number): void
  pageChecksum(pgno: number, pageSize: number): void
  updateFrame(pgno: number, blockSize: number, pageSize: number): void
  encodeFrame(pgno: number, pageSize: number): number
  compressPage(pageSize: number): number
  decodeFrame(pgno: number, blockSize: number, pageSize: number): number
  decodeFrames(
    size: number,
    pageSize: number,
    maxBlock: number,
    prev: number,
    last: number,
    lock: number,
    dense: number,
  ): number
  updateFrames(count: number, pageSize: number): void
  decompressBlock(blockSize: number, at: number, limit: number, base: number): number
}

/** Counts what is put into the staging area for a page. */
let turn = 0

/** Changes whenever the page in the staging area does. */
export function stagingTurn(): number {
  return turn
}

/** The part of the standard WebAssembly interface that is used: Node's type definitions do not have it. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object) => { readonly exports: unknown }
}

const wasm = Uint8Array.from(atob(KERNELS_BASE64), (character) => character.charCodeAt(0))
const kernels = new WebAssembly.Instance(new WebAssembly.Module(wasm)).exports as Exports

/** Page header and size field, in front of a block. */
export const FRAME_PREFIX_SIZE = 10
const MAX_PAGE_SIZE = 65536

const memory = new Uint8Array(kernels.memory.buffer)
const PAGE = kernels.pageAddress()
const BLOCK = kernels.blockAddress()
const WINDOW = kernels.windowAddress()
/** So much of a file is looked at in one call. */
const WINDOW_BYTES = kernels.windowBytes()
/** So many frames can be dealt with in one call. */
export const MAX_FRAMES = kernels.maxFrames()
/** Four words describe a frame: page number, block size, low and high half of its page's digest. */
export const FRAME_WORDS = 4
const frames = new Int32Array(kernels.memory.buffer, kernels.framesAddress(), FRAME_WORDS * MAX_FRAMES)
/** STATE, DATA and RESULT of assembly/layout.ts, low half first. */
const slots = new Int32Array(kernels.memory.buffer, 0, 6)
/** SEQUENCE, and behind it FRAMES_BYTES. */
const sequence = new Int32Array(kernels.memory.buffer, 24, 3)
const result = new BigUint64Array(kernels.memory.buffer, 16, 1)

/** The largest block that LZ4 makes of a page, and so the largest that is accepted. */
export function blockBound(pageSize: number): number {
  return pageSize + Math.floor(pageSize / 255) + 16
}

/** Which frames may come: page numbers that ascend after `prevPgno`, up to `lastPgno`; where `isDense`, none but the lock page is left out. */
export interface FrameOrder {
  prevPgno: number
  readonly lastPgno: number
  readonly lockPgno: number
  readonly isDense: boolean
}

/** Two independent 32-bit hashes over pairs of numbers below 2^32, which `CRCRegister.decodeFrames` goes on with. */
export class SequenceHash {
  count = 0
  #a = 0x811c9dc5 | 0
  #b = 0x9747b28c | 0

  add(first: number, second: number): void {
    this.count++
    this.#a = mix(mix(this.#a, first, 0x85ebca6b), second, 0x85ebca6b)
    this.#b = mix(mix(this.#b, first, 0x1b873593), second, 0x1b873593)
  }

  equals(other: SequenceHash): boolean {
    return this.#a === other.#a && this.#b === other.#b && this.count === other.count
  }

  load(): void {
    sequence[0] = this.#a
    sequence[1] = this.#b
  }

  store(count: number): void {
    this.#a = sequence[0]!
    this.#b = sequence[1]!
    this.count += count
  }
}

/** A step of MurmurHash3: injective in the hash for each word, and in the word for each hash. */
function mix(hash: number, word: number, factor: number): number {
  const k = Math.imul(hash ^ word, factor)
  return (Math.imul((k << 13) | (k >>> 19), 5) + (factor | 0)) | 0
}

/** Bytes of the frames that `decodeFrames` found. */
export function framesBytes(): number {
  return sequence[2]!
}

/** A CRC register: the value before its final inversion. Starts with all ones. */
export class CRCRegister {
  #low = -1
  #high = -1

  /** Over any bytes. */
  update(bytes: Uint8Array): void {
    this.#load()
    for (let at = 0; at < bytes.length; at += MAX_PAGE_SIZE) {
      const part = bytes.length > MAX_PAGE_SIZE ? bytes.subarray(at, at + MAX_PAGE_SIZE) : bytes
      turn++
      memory.set(part, PAGE)
      kernels.updateState(part.length)
    }
    this.#store()
  }

  /** Over a frame without a block: its page header and the page that was digested last. */
  updatePage(pgno: number, pageSize: number): void {
    this.#load()
    kernels.updateFrame(pgno, 0, pageSize)
    this.#store()
  }

  /** Over a frame whose block was made elsewhere, and whose page has this digest. */
  updateFrame(pgno: number, blockSize: number, pageSize: number, digest: Digest): void {
    digest.load()
    this.#load()
    kernels.updateFrame(pgno, blockSize, pageSize)
    this.#store()
  }

  /** Over the frame that `page` becomes. Returns the block's size; `stagedFrame` has the bytes. */
  encode(pgno: number, page: Uint8Array): number {
    turn++
    memory.set(page, PAGE)
    this.#load()
    const blockSize = kernels.encodeFrame(pgno, page.length)
    this.#store()
    return blockSize
  }

  /** Over the frame of this block, decompressed into the staging area. False if it is no block of one page. */
  decode(pgno: number, block: Uint8Array, pageSize: number): boolean {
    turn++
    memory.set(block, BLOCK)
    this.#load()
    const valid = kernels.decodeFrame(pgno, block.length, pageSize) !== 0
    this.#store()
    return valid
  }

  /**
   * Over the frames that `source` has from `start` on, as far as they are whole, have a block, that becomes a page, and come in `order`.
   * Returns how many there were; what they are is for `saveFrames`, before the next call of anything here.
   */
  decodeFrames(source: Uint8Array, start: number, pageSize: number, order: FrameOrder, hash: SequenceHash): number {
    const end = Math.min(source.length, start + WINDOW_BYTES)
    turn++
    memory.set(source.subarray(start, end), WINDOW)
    this.#load()
    hash.load()
    const { prevPgno, lastPgno, lockPgno, isDense } = order
    const bound = blockBound(pageSize)
    const count = kernels.decodeFrames(end - start, pageSize, bound, prevPgno, lastPgno, lockPgno, isDense ? 1 : 0)
    hash.store(count)
    this.#store()
    return count
  }

  /** Over `count` frames that are written elsewhere, four words for each: see FRAME_WORDS. */
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

/** What a page adds to any register, so that its bytes are read once however many checksums need them. */
export class Digest {
  low = 0
  high = 0

  /** Of the page digested last. */
  save(): void {
    this.low = slots[2]!
    this.high = slots[3]!
  }

  load(): void {
    slots[2] = this.low
    slots[3] = this.high
  }
}

/** Four words for each of the `count` frames that `decodeFrames` found. */
export function saveFrames(into: Int32Array, count: number): void {
  into.set(frames.subarray(0, FRAME_WORDS * count))
}

/** Copies page data in and digests it. */
export function digestPage(page: Uint8Array): void {
  turn++
  memory.set(page, PAGE)
  kernels.digestPage(page.length)
}

/** Digests the page that `decompressInto` has put together. */
export function digestStagedPage(pageSize: number): void {
  kernels.digestPage(pageSize)
}

/** Checksum of the page digested last. */
export function digestChecksum(pgno: number, pageSize: number): bigint {
  kernels.pageChecksum(pgno, pageSize)
  return result[0]!
}

/** A rolling checksum: bit 63 is put in when it is read. */
export class ChecksumFold {
  #low = 0
  #high = 0

  /** Adds the page digested last. */
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

/** The frame that `CRCRegister.encode` made, valid until the next call of anything here. */
export function stagedFrame(blockSize: number): Uint8Array {
  return memory.subarray(BLOCK - FRAME_PREFIX_SIZE, BLOCK + blockSize)
}

/** The page that was decompressed last, valid until the next call of anything here. */
export function stagedPage(pageSize: number): Uint8Array {
  return memory.subarray(PAGE, PAGE + pageSize)
}

/**
 * Decompresses a block into the staging area, from byte `at` on and no further than `limit`; matches reach back to `base`.
 * Returns the number of bytes that came out, or -1 if the block is not valid. The block is at most `blockBound` long.
 */
export function decompressInto(block: Uint8Array, at: number, limit: number, base: number): number {
  turn++
  memory.set(block, BLOCK)
  return kernels.decompressBlock(block.length, at, limit, base)
}

/** Puts bytes into the staging area as they are. */
export function copyInto(bytes: Uint8Array, at: number): void {
  turn++
  memory.set(bytes, PAGE + at)
}

/** LZ4 block of one page, valid until the next call of anything here. */
export function compressInto(page: Uint8Array): Uint8Array {
  turn++
  memory.set(page, PAGE)
  return memory.subarray(BLOCK, BLOCK + kernels.compressPage(page.length))
}

/** LZ4 block of one page, in memory of its own. */
export function compressBlock(page: Uint8Array): Uint8Array {
  return compressInto(page).slice()
}
