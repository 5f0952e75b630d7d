import { LTXError } from '../format/errors.ts'
import { DecodedFrame, type Frame } from '../format/frame.ts'
import {
  hasChecksums,
  type Header,
  HEADER_SIZE,
  isSnapshot,
  PAGE_HAS_SIZE,
  PAGE_HEADER_SIZE,
  type Trailer,
  TRAILER_SIZE,
  unmarshalHeader,
  unmarshalTrailer,
} from '../format/header.ts'
import { lastSnapshotPgno, pageOrderProblem } from '../format/page-order.ts'
import { lockPgno } from '../format/types.ts'
import {
  blockBound,
  ChecksumFold,
  CRCRegister,
  digestStagedPage,
  FRAME_PREFIX_SIZE,
  type FrameOrder,
  framesBytes,
} from '../kernels/kernels.ts'
import { ByteSource } from './byte-source.ts'
import type { FrameBatch } from './frame-batch.ts'
import { IndexCheck } from './index-check.ts'
import { decompressFrame, frameExtent } from './lz4-frame.ts'

const INDEX_SIZE_BYTES = 8

/** The part that comes next; messages use the name too. */
type Phase = 'header' | 'page block' | 'page index' | 'page index size' | 'trailer' | 'ended'

/**
 * Reads one LTX file from chunks of any size and trusts nothing in it: every length is bounded before memory is
 * allocated for it, and every rule of the format is checked. For each chunk, `push` it and call `next` until it
 * returns undefined; finally call `end`. Throws LTXError, after which the decoder must not be used.
 */
export class Decoder {
  readonly #input = new ByteSource()
  readonly #crc = new CRCRegister()
  readonly #index = new IndexCheck()
  /** Rolling checksum of a snapshot's pages; undefined where there is nothing to compare it with. */
  #database: ChecksumFold | undefined
  #header: Header | undefined
  /** Of `nextBatch`. */
  #order: FrameOrder | undefined
  #frame: DecodedFrame | undefined
  #trailer: Trailer | undefined
  #phase: Phase = 'header'
  #prevPgno = 0
  #error: Error | undefined

  /** Known once the first 100 bytes have been pushed. */
  get header(): Header | undefined {
    return this.#header
  }

  /** True once `next` will return no further page. */
  get pagesDone(): boolean {
    return this.#phase !== 'header' && this.#phase !== 'page block'
  }

  /** Pages decoded so far. */
  get pageCount(): number {
    return this.#index.frameCount
  }

  /** Bytes of the file that have been read. */
  get sizeBytes(): number {
    return this.#input.offset
  }

  /** Passes the next bytes of the file. They are not copied: do not change them until `next` has returned undefined. */
  push(chunk: Uint8Array): void {
    this.#guard(() => {
      if (this.#input.rest > 0) throw new Error('call next() until it returns undefined before the next push()')
      this.#input.push(chunk)
      if (this.#phase === 'header') this.#readHeader()
      if (this.pagesDone) this.#readTail()
    })
  }

  /**
   * The next page, valid until the next call of `next` or `push`. Undefined: push more, or, if `pagesDone`, there is none.
   */
  next(): Frame | undefined {
    return this.nextFrame()
  }

  /** @internal `next`, with what this library's own parts need of a frame. */
  nextFrame(): DecodedFrame | undefined {
    if (this.#error !== undefined) throw this.#error
    if (this.#phase !== 'page block') return undefined
    try {
      return this.#readFrame()
    } catch (error) {
      throw this.#failed(error)
    }
  }

  /**
   * @internal Takes the next frames into `batch`, as far as the chunk holds them whole and each is a block. Faster
   * than one by one where no page's data is needed. False where there is none: call `nextFrame` then.
   */
  nextBatch(batch: FrameBatch): boolean {
    if (this.#error !== undefined) throw this.#error
    if (this.#phase !== 'page block') return false
    const input = this.#input
    const order = this.#order!
    const { pageSize } = this.#header!
    order.prevPgno = this.#prevPgno
    if (!this.#isBlockNext()) return false
    if (!batch.decode(this.#crc, input.source, input.start, pageSize, order, this.#index.frames)) return false
    this.#database?.addAll(batch.words, batch.count, pageSize)
    input.consume(framesBytes())
    this.#prevPgno = batch.lastPgno
    return true
  }

  /** @internal Bytes at the end of the chunk that begin a frame with a block, but are not all of it. */
  get cutBytes(): number {
    const input = this.#input
    const { rest } = input
    if (this.#phase !== 'page block' || !input.hasInChunk(rest)) return 0
    if (rest < FRAME_PREFIX_SIZE) return rest
    return this.#blockSizeBytes() > rest ? rest : 0
  }

  /** @internal `push` for a chunk that begins with the `cutBytes` of the last one. */
  pushAgain(chunk: Uint8Array): void {
    this.#input.push(chunk)
  }

  /** Checks that the file was complete. Returns its trailer. */
  end(): Trailer {
    return this.#guard(() => {
      if (this.#trailer === undefined || this.#header === undefined) {
        throw new LTXError('the file ends here', { offset: this.#input.offset, field: this.#phase })
      }
      return this.#trailer
    })
  }

  #guard<T>(work: () => T): T {
    if (this.#error !== undefined) throw this.#error
    try {
      return work()
    } catch (error) {
      throw this.#failed(error)
    }
  }

  #failed(error: unknown): Error {
    return (this.#error = error instanceof Error ? error : new Error(String(error)))
  }

  #readHeader(): void {
    const input = this.#input
    if (!input.gather(HEADER_SIZE)) return
    const bytes = input.source.subarray(input.start, input.start + HEADER_SIZE)
    const header = unmarshalHeader(bytes)
    this.#crc.update(bytes)
    input.consume(HEADER_SIZE)
    this.#header = header
    this.#frame = new DecodedFrame(header.pageSize)
    if (isSnapshot(header) && hasChecksums(header)) this.#database = new ChecksumFold()
    const lastPgno = header.commit
    this.#order = { prevPgno: 0, lastPgno, lockPgno: lockPgno(header.pageSize), isDense: isSnapshot(header) }
    this.#phase = 'page block'
  }

  #readFrame(): DecodedFrame | undefined {
    const input = this.#input
    const header = this.#header!
    if (!input.gather(PAGE_HEADER_SIZE)) return undefined
    const pgno = readU32(input.source, input.start)
    const flags = (input.source[input.start + 4]! << 8) | input.source[input.start + 5]!
    if (pgno === 0 && flags === 0) {
      this.#endPages()
      return undefined
    }
    if ((flags & ~PAGE_HAS_SIZE) !== 0) {
      throw this.#refuse('page flags', `0x${flags.toString(16)} has bits other than 0x1`, 4)
    }
    const problem = pageOrderProblem(header, this.#prevPgno, pgno)
    if (problem !== undefined) throw this.#refuse('page number', problem)
    const frame = flags === PAGE_HAS_SIZE ? this.#readBlock(pgno, header) : this.#readLZ4Frame(pgno, header)
    return frame === undefined ? undefined : this.#passed(frame, header)
  }

  /** Counts a frame and moves past it. */
  #passed(frame: DecodedFrame, { pageSize }: Header): DecodedFrame {
    const { pgno, sizeBytes } = frame
    this.#input.consume(sizeBytes)
    this.#database?.add(pgno, pageSize)
    this.#index.frame(pgno, sizeBytes)
    this.#prevPgno = pgno
    return frame
  }

  /** True where what comes next is a frame with a block, which the chunk has whole. */
  #isBlockNext(): boolean {
    const input = this.#input
    if (!input.hasInChunk(FRAME_PREFIX_SIZE)) return false
    const sizeBytes = this.#blockSizeBytes()
    return sizeBytes > 0 && input.hasInChunk(sizeBytes)
  }

  /** Size of the frame that comes next, of which the chunk has the prefix; 0 where it is no frame with a block. */
  #blockSizeBytes(): number {
    const input = this.#input
    input.gather(FRAME_PREFIX_SIZE)
    const { source, start } = input
    if (source[start + 4] !== 0 || source[start + 5] !== PAGE_HAS_SIZE) return 0
    return FRAME_PREFIX_SIZE + readU32(source, start + PAGE_HEADER_SIZE)
  }

  #readBlock(pgno: number, { pageSize }: Header): DecodedFrame | undefined {
    const input = this.#input
    if (!input.gather(FRAME_PREFIX_SIZE)) return undefined
    const size = readU32(input.source, input.start + PAGE_HEADER_SIZE)
    if (size === 0 || size > blockBound(pageSize)) {
      const problem = `${size} bytes are no LZ4 block of a page of ${pageSize} bytes`
      throw this.#refuse('page data size', problem, PAGE_HEADER_SIZE)
    }
    if (!input.gather(FRAME_PREFIX_SIZE + size)) return undefined
    const at = input.start + FRAME_PREFIX_SIZE
    if (!this.#crc.decode(pgno, input.source.subarray(at, at + size), pageSize)) {
      const problem = `page ${pgno} is not valid LZ4, or does not decompress to ${pageSize} bytes`
      throw this.#refuse('page data', problem, FRAME_PREFIX_SIZE)
    }
    const frame = this.#frame!
    frame.offset = input.offset
    frame.fill(pgno, 'block', input.source, input.start, FRAME_PREFIX_SIZE + size)
    return frame
  }

  #readLZ4Frame(pgno: number, { pageSize }: Header): DecodedFrame | undefined {
    const input = this.#input
    const window = (have: number) => ({
      bytes: input.source,
      start: input.start + PAGE_HEADER_SIZE,
      have,
      offset: input.offset + PAGE_HEADER_SIZE,
    })
    let have = 0
    for (;;) {
      const extent = frameExtent(window(have), pageSize)
      if (extent === have) break
      if (!input.gather(PAGE_HEADER_SIZE + extent)) return undefined
      have = extent
    }
    decompressFrame(window(have), pageSize)
    digestStagedPage(pageSize)
    this.#crc.updatePage(pgno, pageSize)
    const frame = this.#frame!
    frame.offset = input.offset
    frame.fill(pgno, 'frame', input.source, input.start, PAGE_HEADER_SIZE + have)
    return frame
  }

  #endPages(): void {
    const header = this.#header!
    if (isSnapshot(header) && this.#prevPgno !== lastSnapshotPgno(header)) {
      throw this.#refuse('page number', `the snapshot ends with page ${this.#prevPgno} of ${header.commit}`)
    }
    this.#crc.update(this.#input.source.subarray(this.#input.start, this.#input.start + PAGE_HEADER_SIZE))
    this.#input.consume(PAGE_HEADER_SIZE)
    this.#phase = 'page index'
    this.#readTail()
  }

  /** Page index, its size, and the trailer: all that the chunk has of it. */
  #readTail(): void {
    const input = this.#input
    if (this.#phase === 'page index') {
      const { used, ended } = this.#index.read(input.peekRest(), input.offset)
      this.#crc.update(input.drain(used))
      if (!ended) return
      this.#phase = 'page index size'
    }
    if (this.#phase === 'page index size') {
      if (!input.gather(INDEX_SIZE_BYTES)) return
      this.#readIndexSize()
    }
    if (this.#phase === 'trailer') {
      if (!input.gather(TRAILER_SIZE)) return
      this.#readTrailer()
    }
    if (input.rest > 0) throw this.#refuse('trailer', 'something follows it')
  }

  #readIndexSize(): void {
    const input = this.#input
    const bytes = input.source.subarray(input.start, input.start + INDEX_SIZE_BYTES)
    const size = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0)
    if (size !== BigInt(this.#index.sizeBytes)) {
      throw this.#refuse('page index size', `${size} is not the index's size of ${this.#index.sizeBytes} bytes`)
    }
    this.#crc.update(bytes)
    input.consume(INDEX_SIZE_BYTES)
    this.#phase = 'trailer'
  }

  #readTrailer(): void {
    const input = this.#input
    const header = this.#header!
    const bytes = input.source.subarray(input.start, input.start + TRAILER_SIZE)
    const trailer = unmarshalTrailer(bytes, header, input.offset)
    const { postApplyChecksum, fileChecksum } = trailer
    this.#crc.update(bytes.subarray(0, 8))
    const computed = this.#crc.checksum()
    if (fileChecksum !== computed) {
      const problem = `${hex(fileChecksum)} stands in the file, whose content has ${hex(computed)}`
      throw this.#refuse('file checksum', problem, 8)
    }
    const database = this.#database?.checksum()
    if (database !== undefined && postApplyChecksum !== database) {
      const problem = `${hex(postApplyChecksum)} is not the checksum of the snapshot's pages, ${hex(database)}`
      throw this.#refuse('post-apply checksum', problem)
    }
    input.consume(TRAILER_SIZE)
    this.#trailer = trailer
    this.#phase = 'ended'
  }

  /** `ahead`: bytes beyond the first one that has not been consumed. */
  #refuse(field: string, problem: string, ahead = 0): LTXError {
    return new LTXError(problem, { offset: this.#input.offset + ahead, field })
  }
}

function readU32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}

function hex(checksum: bigint): string {
  return checksum.toString(16).padStart(16, '0')
}
