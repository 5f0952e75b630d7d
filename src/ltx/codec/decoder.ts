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
  unmarshalHeader,
} from '../format/header.ts'
import { lastSnapshotPgno, pageOrderProblem } from '../format/page-order.ts'
import { lockPgno } from '../format/types.ts'
import { CRCRegister } from '../kernels/crc.ts'
import { type FrameOrder, framesBytes } from '../kernels/decoded-frames.ts'
import { ChecksumFold, digestStagedPage } from '../kernels/digest.ts'
import { FRAME_PREFIX_SIZE } from '../kernels/instance.ts'
import { blockBound } from '../kernels/lz4-block.ts'
import { ByteSource } from './byte-source.ts'
import type { FrameBatch } from './frame-batch.ts'
import { IndexCheck } from './index-check.ts'
import { decompressFrame, frameExtent } from './lz4-frame.ts'
import { TailReader } from './tail-reader.ts'

/**
 * Reads one LTX file from chunks of any size and trusts nothing in it: every length is bounded before memory is
 * allocated for it, and every rule of the format is checked. For each chunk, `push` it and call `next` until it
 * returns undefined; finally call `end`. Throws LTXError, after which the decoder must not be used.
 */
export class Decoder {
  readonly #input = new ByteSource()
  readonly #crc = new CRCRegister()
  readonly #index = new IndexCheck()
  /** Rolling checksum of a snapshot's pages. Undefined in other files, and in files without database checksums. */
  #database: ChecksumFold | undefined
  #header: Header | undefined
  /** Which frames `nextBatch` accepts. */
  #order: FrameOrder | undefined
  #frame: DecodedFrame | undefined
  #tail: TailReader | undefined
  /** The part that comes next. */
  #phase: 'header' | 'page block' | 'tail' = 'header'
  #prevPgno = 0
  #error: Error | undefined

  /** Known once the first 100 bytes have been pushed. */
  get header(): Header | undefined {
    return this.#header
  }

  /** True once `next` will return no further page. */
  get pagesDone(): boolean {
    return this.#phase === 'tail'
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
      this.#tail?.read()
    })
  }

  /**
   * The next page, valid until the next call of `next` or `push`. Undefined at the end of the pushed bytes: push more,
   * unless `pagesDone`.
   */
  next(): Frame | undefined {
    return this.nextFrame()
  }

  /** @internal As `next`, with the fields of a frame that only this library needs. */
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
   * @internal Decodes the next frames into `batch`, up to the first one that the chunk cuts short or that has no
   * block. Faster than `nextFrame` where no page's data is needed. False if there is no such frame: call `nextFrame`.
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

  /** @internal How many bytes at the end of the chunk belong to a frame with a block that the chunk cuts short. */
  get cutBytes(): number {
    const input = this.#input
    const { rest } = input
    if (this.#phase !== 'page block' || !input.hasInChunk(rest)) return 0
    if (rest < FRAME_PREFIX_SIZE) return rest
    return this.#blockSizeBytes() > rest ? rest : 0
  }

  /** @internal As `push`, for a chunk that begins with the last `cutBytes` of the one before. */
  pushAgain(chunk: Uint8Array): void {
    this.#input.push(chunk)
  }

  /** Returns the trailer. Throws LTXError if the file is incomplete. */
  end(): Trailer {
    return this.#guard(() => {
      const trailer = this.#tail?.trailer
      if (trailer !== undefined) return trailer
      const field = this.#tail?.phase ?? this.#phase
      throw new LTXError('the file ends here', { offset: this.#input.offset, field })
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
      throw this.#invalid('page flags', `0x${flags.toString(16)} has bits other than 0x1`, 4)
    }
    const problem = pageOrderProblem(header, this.#prevPgno, pgno)
    if (problem !== undefined) throw this.#invalid('page number', problem)
    const frame = flags === PAGE_HAS_SIZE ? this.#readBlock(pgno, header) : this.#readLZ4Frame(pgno, header)
    return frame === undefined ? undefined : this.#consumeFrame(frame, header)
  }

  /** Consumes a decoded frame. */
  #consumeFrame(frame: DecodedFrame, { pageSize }: Header): DecodedFrame {
    const { pgno, sizeBytes } = frame
    this.#input.consume(sizeBytes)
    this.#database?.add(pgno, pageSize)
    this.#index.frame(pgno, sizeBytes)
    this.#prevPgno = pgno
    return frame
  }

  /** True if a frame with a block comes next, and the chunk holds all of it. */
  #isBlockNext(): boolean {
    const input = this.#input
    if (!input.hasInChunk(FRAME_PREFIX_SIZE)) return false
    const sizeBytes = this.#blockSizeBytes()
    return sizeBytes > 0 && input.hasInChunk(sizeBytes)
  }

  /** Size of the next frame, whose prefix is in the chunk. 0 if the frame has no block. */
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
      const problem = `${size} bytes are not an LZ4 block of a page of ${pageSize} bytes`
      throw this.#invalid('page data size', problem, PAGE_HEADER_SIZE)
    }
    if (!input.gather(FRAME_PREFIX_SIZE + size)) return undefined
    const at = input.start + FRAME_PREFIX_SIZE
    if (!this.#crc.decode(pgno, input.source.subarray(at, at + size), pageSize)) {
      const problem = `page ${pgno} is not valid LZ4, or does not decompress to ${pageSize} bytes`
      throw this.#invalid('page data', problem, FRAME_PREFIX_SIZE)
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
      throw this.#invalid('page number', `the snapshot ends with page ${this.#prevPgno} of ${header.commit}`)
    }
    this.#crc.update(this.#input.source.subarray(this.#input.start, this.#input.start + PAGE_HEADER_SIZE))
    this.#input.consume(PAGE_HEADER_SIZE)
    this.#phase = 'tail'
    this.#tail = new TailReader(this.#input, {
      header,
      crc: this.#crc,
      index: this.#index,
      database: this.#database,
    })
    this.#tail.read()
  }

  /** `ahead`: bytes from the first one that has not been consumed to the invalid ones. */
  #invalid(field: string, problem: string, ahead = 0): LTXError {
    return new LTXError(problem, { offset: this.#input.offset + ahead, field })
  }
}

function readU32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}
