import { Digest } from '../kernels/digest.ts'
import { FRAME_PREFIX_SIZE } from '../kernels/instance.ts'
import { decompressInto } from '../kernels/lz4-block.ts'
import { stagedPage, stagingTurn } from '../kernels/staging.ts'
import { LTXError } from './errors.ts'
import { PAGE_HEADER_SIZE } from './header.ts'
import type { Pgno } from './types.ts'

/** A page as it stands in a file. All of it is valid only until its source goes on to the next one. */
export interface Frame {
  readonly pgno: Pgno
  /** `block`: an LZ4 block. `frame`: an LZ4 frame, as older files have them. */
  readonly encoding: 'block' | 'frame'
  /** The block or frame alone, without page header and size. */
  readonly compressed: Uint8Array
  /** The page's data: copy it to keep it. */
  page(): Uint8Array
}

/** What takes whole frames out of one file into another. */
export interface FrameSink {
  writePage(pgno: Pgno, page: Uint8Array): void
  /** A frame with a block, and its page's digest. */
  copyDigested(pgno: Pgno, frame: Uint8Array, digestLow: number, digestHigh: number): void
}

/**
 * The one frame of a decoder, filled anew for each page. Its page lies where the kernels left it until something else
 * uses the kernels; after that a block is decompressed a second time, which costs less than copying every page out.
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

  /** All of the frame, as it stands in the file. */
  get bytes(): Uint8Array {
    return this.#source.subarray(this.#start, this.#start + this.sizeBytes)
  }

  /** Takes the frame that `source` has at `start`, and whose page has just been decompressed and digested. */
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
