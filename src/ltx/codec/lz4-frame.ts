/**
 * Pages as LZ4 frames, the encoding of superfly/ltx up to 0.5.1. Reading only.
 * Source: lz4_Frame_format.md of lz4/lz4, as superfly/ltx 0.5.3 implements it.
 *
 * A frame has magic, flags, block size class, [content size], header checksum; then blocks, each with its size before
 * and [a checksum] after it; a block size of zero; a checksum of the content, which superfly/ltx requires. All fields
 * are little-endian.
 */
import { LTXError } from '../format/errors.ts'
import { xxh32 } from '../format/xxhash.ts'
import { blockBound, decompressInto } from '../kernels/lz4-block.ts'
import { copyInto, stagedPage } from '../kernels/staging.ts'

const MAGIC = 0x184d2204
/** Magic, flags, block sizes and header checksum. */
const MIN_HEADER_SIZE = 7
const CONTENT_CHECKSUM_SIZE = 4
/** Block size classes range from 4 to 7: blocks have up to 2^(8 + 2 * class) bytes. */
const SMALLEST_CLASS = 4
/** A page fits into one block; a writer that flushes often makes more of them. */
const MAX_BLOCKS = 64

const FLAG = {
  version: 0xc0,
  independent: 0x20,
  blockChecksum: 0x10,
  contentSize: 0x08,
  contentChecksum: 0x04,
} as const
const VERSION_1 = 0x40
/** A reserved bit, and a dictionary. */
const FLAGS_UNSUPPORTED = 0x03
const UNCOMPRESSED = 0x80000000

/** Some bytes of a file: `have` of them from `start` on. The first is byte `offset` of the file. */
export interface Window {
  readonly bytes: Uint8Array
  readonly start: number
  readonly have: number
  readonly offset: number
}

/**
 * How many bytes the frame at the window's start has at least; at most `maxFrameSize`. If that is more than `have`,
 * call again with that many bytes. If it is exactly `have`, the frame is complete. Throws LTXError where the bytes are
 * not a frame.
 */
export function frameExtent(window: Window, pageSize: number): number {
  const { have } = window
  if (have < MIN_HEADER_SIZE) return MIN_HEADER_SIZE
  const fields = readFlags(window)
  let at = fields.headerSize
  for (let blocks = 0; ; blocks++) {
    if (at + 4 > have) return at + 4
    const stored = blockSize(window, at, pageSize, fields)
    at += 4
    if (stored.size === 0) return at + CONTENT_CHECKSUM_SIZE
    if (blocks === MAX_BLOCKS) throw invalid(window, at, `has more than ${MAX_BLOCKS} blocks`)
    at += stored.size + fields.blockTail
    if (at > maxFrameSize(pageSize)) throw invalid(window, at, 'is longer than any frame of one page')
  }
}

/** Size of the longest frame that is accepted for one page. */
export function maxFrameSize(pageSize: number): number {
  return 15 + 2 * blockBound(pageSize) + 8 * (MAX_BLOCKS + 1)
}

/** Decompresses a whole frame into the staging area, and verifies every checksum in it. */
export function decompressFrame(window: Window, pageSize: number): void {
  const { bytes, start } = window
  const fields = readFlags(window)
  const { flags, headerSize, blockTail } = fields
  const view = viewOf(window)
  const header = bytes.subarray(start + 4, start + headerSize - 1)
  if (bytes[start + headerSize - 1] !== ((xxh32(header) >>> 8) & 0xff)) {
    throw invalid(window, headerSize - 1, 'header checksum does not match')
  }
  let at = headerSize
  let filled = 0
  for (;;) {
    const { size, compressed } = blockSize(window, at, pageSize, fields)
    at += 4
    if (size === 0) break
    if (filled === pageSize) throw invalid(window, at - 4, 'has another block after the page is full')
    const data = bytes.subarray(start + at, start + at + size)
    if (blockTail > 0 && view.getUint32(at + size, true) !== xxh32(data)) {
      throw invalid(window, at + size, 'block checksum does not match')
    }
    filled += compressed
      ? fromBlock(window, at, data, filled, pageSize, flags)
      : fromRaw(window, at, data, filled, pageSize)
    at += size + blockTail
  }
  if (filled !== pageSize) throw invalid(window, at, `decompresses to ${filled} bytes: expected ${pageSize}`)
  if (view.getUint32(at, true) !== xxh32(stagedPage(pageSize))) {
    throw invalid(window, at, 'content checksum does not match')
  }
}

function fromBlock(
  window: Window,
  at: number,
  data: Uint8Array,
  filled: number,
  pageSize: number,
  flags: number,
): number {
  const base = (flags & FLAG.independent) !== 0 ? filled : 0
  const size = decompressInto(data, filled, pageSize, base)
  if (size < 0) throw invalid(window, at, 'block is not valid, or decompresses to more than a page')
  // superfly/ltx fills a page of 64 KiB with its buffer's previous content, and skips the block in smaller pages.
  if (size === 0) throw invalid(window, at, 'a block is empty')
  return size
}

function fromRaw(window: Window, at: number, data: Uint8Array, filled: number, pageSize: number): number {
  if (data.length > pageSize - filled) throw invalid(window, at, 'holds more than a page')
  copyInto(data, filled)
  return data.length
}

interface Flags {
  readonly flags: number
  readonly headerSize: number
  /** Bytes behind each block. */
  readonly blockTail: number
  readonly maxBlockSize: number
}

function readFlags(window: Window): Flags {
  const view = viewOf(window)
  if (view.getUint32(0, true) !== MAGIC) throw invalid(window, 0, 'does not start with 04224d18')
  const flags = view.getUint8(4)
  if ((flags & FLAG.version) !== VERSION_1 || (flags & FLAGS_UNSUPPORTED) !== 0) {
    throw invalid(window, 4, `flags 0x${flags.toString(16)} are not supported`)
  }
  if ((flags & FLAG.contentChecksum) === 0) throw invalid(window, 4, 'has no content checksum')
  const sizeClass = (view.getUint8(5) >> 4) & 7
  if (sizeClass < SMALLEST_CLASS) {
    throw invalid(window, 5, `block size class ${sizeClass} is not one from 4 to 7`)
  }
  return {
    flags,
    headerSize: MIN_HEADER_SIZE + ((flags & FLAG.contentSize) !== 0 ? 8 : 0),
    blockTail: (flags & FLAG.blockChecksum) !== 0 ? 4 : 0,
    maxBlockSize: 2 ** (8 + 2 * sizeClass),
  }
}

function blockSize(
  window: Window,
  at: number,
  pageSize: number,
  { maxBlockSize }: Flags,
): { size: number; compressed: boolean } {
  const field = viewOf(window).getUint32(at, true)
  if (field === UNCOMPRESSED) throw invalid(window, at, 'a block is empty')
  const compressed = field < UNCOMPRESSED
  const size = compressed ? field : field - UNCOMPRESSED
  if (size > Math.min(blockBound(pageSize), maxBlockSize)) {
    throw invalid(window, at, `block size ${size} is too large for a page of ${pageSize} bytes`)
  }
  return { size, compressed }
}

function viewOf({ bytes, start, have }: Window): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset + start, have)
}

function invalid(window: Window, at: number, problem: string): LTXError {
  return new LTXError(problem, { offset: window.offset + at, field: 'LZ4 frame' })
}
