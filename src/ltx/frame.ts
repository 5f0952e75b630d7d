import { LTXError } from './errors.ts'
import { decompressInto, Digest, stagedPage, stagingTurn } from './kernels/kernels.ts'
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

/**
 * The one frame of a decoder, filled anew for each page. Its page lies where the kernels left it until something else
 * uses the kernels; after that a block is decompressed a second time, which costs less than copying every page out.
 */
export class DecodedFrame implements Frame {
  pgno = 0
  encoding: 'block' | 'frame' = 'block'
  compressed: Uint8Array = new Uint8Array(0)
  /** Where the frame starts in the file. */
  offset = 0
  /** Bytes of the whole frame, page header included. */
  sizeBytes = 0
  readonly digest = new Digest()
  #turn = 0
  #copied = false
  readonly #page: Uint8Array

  constructor(pageSize: number) {
    this.#page = new Uint8Array(pageSize)
  }

  /** Takes the page that has just been decompressed and digested. */
  fill(pgno: Pgno, encoding: 'block' | 'frame', compressed: Uint8Array, offset: number, sizeBytes: number): void {
    this.pgno = pgno
    this.encoding = encoding
    this.compressed = compressed
    this.offset = offset
    this.sizeBytes = sizeBytes
    this.digest.save()
    this.#turn = stagingTurn()
    this.#copied = false
    if (encoding === 'frame') this.page()
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
}
