import { LTXError } from '../format/errors.ts'
import {
  type Header,
  HEADER_SIZE,
  isSnapshot,
  marshalHeader,
  PAGE_HAS_SIZE,
  PAGE_HEADER_SIZE,
  type Trailer,
  TRAILER_SIZE,
  validatePostApplyChecksum,
} from '../format/header.ts'
import { lastSnapshotPgno, pageOrderProblem } from '../format/page-order.ts'
import { type Checksum, type Pgno } from '../format/types.ts'
import { CRCRegister } from '../kernels/crc.ts'
import { Digest, digestChecksum, digestPage } from '../kernels/digest.ts'
import { FRAME_PREFIX_SIZE, FRAME_WORDS } from '../kernels/instance.ts'
import { blockBound } from '../kernels/lz4-block.ts'
import { stagedFrame } from '../kernels/staging.ts'
import { FrameList, type IndexSpill } from './frame-list.ts'

/** Options of every function that writes a file. */
export interface EncoderOptions {
  /**
   * Where the page index is stored once it outgrows a megabyte (some hundred thousand pages). Without a spill the
   * index stays in memory, at eight to ten bytes a page.
   */
  readonly spill?: () => IndexSpill
}

/** What was written. */
export interface EncoderResult {
  readonly trailer: Trailer
  /** Of the file. */
  readonly sizeBytes: number
}

/** A chunk is flushed at this size. The rest of the buffer is for the frame that exceeds it. */
const CHUNK_BYTES = 256 * 1024
const BUFFER_BYTES = CHUNK_BYTES + FRAME_PREFIX_SIZE + blockBound(65536)

/** Copied frames enter the file's checksum this many at a time. */
const FRAMES_AT_ONCE = 64

/** Buffers of finished encoders, for reuse: a commit must not pay for a new one. */
const spareBuffers: Uint8Array[] = []
const MAX_SPARE_BUFFERS = 4

/**
 * Writes one LTX file: header, pages in ascending order, `finish`. Synchronous. Throws LTXError where the file would
 * not be valid. After any error, one of `write` included, the encoder must not be used.
 */
export class Encoder {
  readonly header: Header
  readonly #write: (chunk: Uint8Array) => void
  readonly #frames: FrameList
  readonly #crc = new CRCRegister()
  readonly #digest = new Digest()
  /** Frames that are not in the checksum yet: see FRAME_WORDS. */
  #copied: Int32Array | undefined
  #copiedCount = 0
  #buffer: Uint8Array
  #used = 0
  #digested = 0
  /** Bytes passed to `write`. */
  #flushed = 0
  #prevPgno = 0
  #pageCount = 0
  #state: 'pages' | 'finished' | 'failed' = 'pages'

  /**
   * `write` gets the file's bytes in order, in chunks of 256 KiB and up. The last one may be smaller. A chunk is valid
   * only during the call.
   */
  constructor(header: Header, write: (chunk: Uint8Array) => void, options: EncoderOptions = {}) {
    const buffer = spareBuffers.pop() ?? new Uint8Array(BUFFER_BYTES)
    this.#buffer = buffer
    this.header = header
    this.#write = write
    this.#frames = new FrameList(options.spill)
    marshalHeader(header, buffer)
    this.#crc.update(buffer.subarray(0, HEADER_SIZE))
    this.#used = HEADER_SIZE
  }

  /** Pages written so far. */
  get pageCount(): number {
    return this.#pageCount
  }

  /** Bytes of the file so far. */
  get sizeBytes(): number {
    return this.#flushed + this.#used
  }

  /** Compresses a page and appends it. */
  writePage(pgno: Pgno, page: Uint8Array): void {
    this.#admit(pgno, page)
    this.#digestCopied()
    const blockSize = this.#crc.encode(pgno, page)
    this.#digest.save()
    this.#buffer.set(stagedFrame(blockSize), this.#used)
    this.#frames.append(pgno, FRAME_PREFIX_SIZE + blockSize)
    this.#appended(pgno, FRAME_PREFIX_SIZE + blockSize)
  }

  /** Appends a page that is already compressed. `page` is the decompressed `block`, for the file's checksum. */
  copyFrame(pgno: Pgno, block: Uint8Array, page: Uint8Array): void {
    this.#admit(pgno, page)
    digestPage(page)
    this.#digest.save()
    this.#assertBlockSize(block.length)
    const buffer = this.#buffer
    const at = this.#used
    putU32(buffer, at, pgno)
    buffer[at + 4] = 0
    buffer[at + 5] = PAGE_HAS_SIZE
    putU32(buffer, at + 6, block.length)
    buffer.set(block, at + FRAME_PREFIX_SIZE)
    this.#appendedCopy(pgno, block.length)
  }

  /** @internal Appends a frame with a block of another file of the same page size. The digest is that of its page. */
  copyDigested(pgno: Pgno, frame: Uint8Array, digestLow: number, digestHigh: number): void {
    this.#admit(pgno)
    this.#assertBlockSize(frame.length - FRAME_PREFIX_SIZE)
    this.#digest.low = digestLow
    this.#digest.high = digestHigh
    this.#buffer.set(frame, this.#used)
    this.#appendedCopy(pgno, frame.length - FRAME_PREFIX_SIZE)
  }

  /** The checksum of the page that was written last, without another pass over its data. */
  lastPageChecksum(): Checksum {
    if (this.#pageCount === 0) throw new LTXError('no page has been written', { field: 'page' })
    this.#digest.load()
    return digestChecksum(this.#prevPgno, this.header.pageSize) as Checksum
  }

  /** Writes page index and trailer. The checksum is that of the whole database after the transaction, or zero. */
  finish(postApplyChecksum: Checksum | 0n): EncoderResult {
    this.#assertOpen()
    this.#state = 'failed'
    const missing = isSnapshot(this.header) && this.#prevPgno !== lastSnapshotPgno(this.header)
    if (missing)
      throw new LTXError(`snapshot ends with page ${this.#prevPgno} of ${this.header.commit}`, { field: 'page' })
    validatePostApplyChecksum(postApplyChecksum, this.header)

    this.#digestCopied()
    if (this.#used >= CHUNK_BYTES) this.#flush()
    this.#digested = this.#used
    this.#append(NO_PAGE)
    const indexStart = this.sizeBytes
    for (const piece of this.#frames.pieces()) this.#append(piece)
    this.#buffer[this.#used++] = 0
    const view = new DataView(this.#buffer.buffer)
    view.setBigUint64(this.#used, BigInt(this.sizeBytes - indexStart))
    view.setBigUint64(this.#used + 8, postApplyChecksum)
    this.#used += 16
    this.#crc.update(this.#buffer.subarray(this.#digested, this.#used))
    const fileChecksum = this.#crc.checksum() as Checksum
    view.setBigUint64(this.#used, fileChecksum)
    this.#used += TRAILER_SIZE - 8
    this.#flush()

    this.#state = 'finished'
    this.#release()
    return { trailer: { postApplyChecksum, fileChecksum }, sizeBytes: this.#flushed }
  }

  /** Abandons a file that will not be finished. Does nothing after `finish`. */
  abort(): void {
    if (this.#state === 'finished') return
    this.#state = 'failed'
    this.#release()
  }

  #assertOpen(): void {
    if (this.#state === 'finished') throw new LTXError('the file is finished', { field: 'encoder' })
    if (this.#state === 'failed')
      throw new LTXError('an earlier call failed: the file cannot be completed', { field: 'encoder' })
  }

  #admit(pgno: Pgno, page?: Uint8Array): void {
    this.#assertOpen()
    const problem = pageOrderProblem(this.header, this.#prevPgno, pgno)
    if (problem !== undefined) throw new LTXError(problem, { offset: this.sizeBytes, field: 'page number' })
    if (page !== undefined && page.length !== this.header.pageSize) {
      throw new LTXError(`page ${pgno} has ${page.length} bytes, not ${this.header.pageSize}`, { field: 'page data' })
    }
  }

  #assertBlockSize(size: number): void {
    if (size > 0 && size <= blockBound(this.header.pageSize)) return
    throw new LTXError(`${size} bytes are not an LZ4 block of a page`, { field: 'block' })
  }

  #appendedCopy(pgno: Pgno, blockSize: number): void {
    const words = (this.#copied ??= new Int32Array(FRAME_WORDS * FRAMES_AT_ONCE))
    const at = FRAME_WORDS * this.#copiedCount++
    words[at] = pgno
    words[at + 1] = blockSize
    words[at + 2] = this.#digest.low
    words[at + 3] = this.#digest.high
    if (this.#copiedCount === FRAMES_AT_ONCE) this.#digestCopied()
    this.#appended(pgno, FRAME_PREFIX_SIZE + blockSize)
  }

  #digestCopied(): void {
    const words = this.#copied
    if (words === undefined || this.#copiedCount === 0) return
    this.#crc.updateFrames(words, this.#copiedCount, this.header.pageSize)
    for (let at = 0; at < FRAME_WORDS * this.#copiedCount; at += FRAME_WORDS) {
      this.#frames.append(words[at]! >>> 0, FRAME_PREFIX_SIZE + words[at + 1]!)
    }
    this.#copiedCount = 0
  }

  #appended(pgno: Pgno, sizeBytes: number): void {
    this.#used += sizeBytes
    this.#prevPgno = pgno
    this.#pageCount++
    if (this.#used >= CHUNK_BYTES) this.#flush()
  }

  /** Appends bytes other than pages. Those from `#digested` on are not in the file's checksum yet. */
  #append(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      if (this.#used >= CHUNK_BYTES) {
        this.#crc.update(this.#buffer.subarray(this.#digested, this.#used))
        this.#flush()
        this.#digested = 0
      }
      const n = Math.min(bytes.length - done, CHUNK_BYTES - this.#used)
      this.#buffer.set(n === bytes.length ? bytes : bytes.subarray(done, done + n), this.#used)
      this.#used += n
      done += n
    }
  }

  #flush(): void {
    const state = this.#state
    this.#state = 'failed'
    this.#write(this.#buffer.subarray(0, this.#used))
    this.#state = state
    this.#flushed += this.#used
    this.#used = 0
  }

  #release(): void {
    this.#frames.clear()
    if (spareBuffers.length < MAX_SPARE_BUFFERS) spareBuffers.push(this.#buffer)
    this.#buffer = NO_BUFFER
  }
}

/** The page header that follows the last page. */
const NO_PAGE = new Uint8Array(PAGE_HEADER_SIZE)
const NO_BUFFER = new Uint8Array(0)

function putU32(into: Uint8Array, at: number, value: number): void {
  into[at] = value >>> 24
  into[at + 1] = value >>> 16
  into[at + 2] = value >>> 8
  into[at + 3] = value
}
