import { Digest } from '../kernels/digest.ts'
import { FRAME_PREFIX_SIZE } from '../kernels/instance.ts'
import { decompressInto } from '../kernels/lz4-block.ts'
import { stagedPage, stagingTurn } from '../kernels/staging.ts'
import { LTXError } from './errors.ts'
import { PAGE_HEADER_SIZE } from './header.ts'
import type { Pgno } from './types.ts'

/** A page as stored in a file. Valid only until its source moves to the next one. */
export interface Frame {
  readonly pgno: Pgno
  /** `block`: an LZ4 block. `frame`: an LZ4 frame, as older files have them. */
  readonly encoding: 'block' | 'frame'
  /** The block or frame alone, without page header and size. */
  readonly compressed: Uint8Array
  /** The page's data. Copy it if you need it after the next frame. */
  page(): Uint8Array
}

/** Receives whole frames of one file for another. */
export interface FrameSink {
  writePage(pgno: Pgno, page: Uint8Array): void
  /** A frame with a block, and its page's digest. */
  copyDigested(pgno: Pgno, frame: Uint8Array, digestLow: number, digestHigh: number): void
}

/**
 * The one frame of a decoder, refilled for each page. Its page stays in the kernels' staging area until another call
 * uses that. After that the block is decompressed a second time, which costs less than copying every page.
 */
export class DecodedFrame implements Frame {
  pgno = 0
  encoding: 'block' | 'frame' = 'block'
  /** Where the frame starts in the file. */
  offset = 0
  /** Bytes of the whole frame, page header included. */
  sizeBytes = 0
  readonly digest = new Digest()
  #source: Uint8Array = NOTHING
  #start = 0
  #turn = 0
  #copied = false
  readonly #page: Uint8Array

  constructor(pageSize: number) {
    this.#page = new Uint8Array(pageSize)
  }

  get compressed(): Uint8Array {
    const prefixBytes = this.encoding === 'block' ? FRAME_PREFIX_SIZE : PAGE_HEADER_SIZE
    return this.#source.subarray(this.#start + prefixBytes, this.#start + this.sizeBytes)
  }

  /** All bytes of the frame in the file. */
  get bytes(): Uint8Array {
    return this.#source.subarray(this.#start, this.#start + this.sizeBytes)
  }

  /** Points to the frame at `start` of `source`. Its page must be the one that was digested last. */
  fill(pgno: Pgno, encoding: 'block' | 'frame', source: Uint8Array, start: number, sizeBytes: number): void {
    this.#take(pgno, encoding, source, start, sizeBytes)
    this.digest.save()
    this.#turn = stagingTurn()
    if (encoding === 'frame') this.page()
  }

  /** Appends the frame to a file of the same page size. */
  copyTo(sink: FrameSink): void {
    const { pgno, digest } = this
    if (this.encoding === 'block') sink.copyDigested(pgno, this.bytes, digest.low, digest.high)
    else sink.writePage(pgno, this.page())
  }

  page(): Uint8Array {
    if (this.#copied) return this.#page
    const { length } = this.#page
    if (this.#turn !== stagingTurn() && decompressInto(this.compressed, 0, length, 0) !== length) {
      throw new LTXError(`page ${this.pgno} was changed while it was being read`, { field: 'page data' })
    }
    this.#page.set(stagedPage(length))
    this.#copied = true
    return this.#page
  }

  #take(pgno: Pgno, encoding: 'block' | 'frame', source: Uint8Array, start: number, sizeBytes: number): void {
    this.pgno = pgno
    this.encoding = encoding
    this.#source = source
    this.#start = start
    this.sizeBytes = sizeBytes
    this.#copied = false
  }
}

const NOTHING = new Uint8Array(0)
