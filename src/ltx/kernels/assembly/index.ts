/** The functions that TypeScript calls. One page is in PAGE, its block in BLOCK. STATE is argument and result. */
import { BLOCK, DATA, FRAMES, FRAMES_BYTES, MAX_FRAMES, PAGE, SEQUENCE, STATE, WINDOW, WINDOW_BYTES } from './layout'
import { shift, update, updateByte, updatePgno, updateWord, pageChecksum as checksumOf } from './crc64'
import { compress, decompress } from './lz4'

/** A size field follows the page header, and the data is an LZ4 block. */
const FLAG_SIZE: u32 = 1
/** Page number, flags and size. */
const FRAME_PREFIX: i32 = 10
const FRAME_BYTES: usize = 16

export function blockAddress(): usize {
  return BLOCK
}

export function pageAddress(): usize {
  return PAGE
}

export function windowAddress(): usize {
  return WINDOW
}

export function windowBytes(): i32 {
  return WINDOW_BYTES
}

export function framesAddress(): usize {
  return FRAMES
}

export function maxFrames(): i32 {
  return MAX_FRAMES
}

/** STATE over `size` bytes of PAGE. */
export function updateState(size: i32): void {
  store<u64>(STATE, update(load<u64>(STATE), PAGE, size))
}

/** DATA from the page in PAGE. */
export function digestPage(pageSize: i32): void {
  store<u64>(DATA, update(0, PAGE, pageSize))
}

/** RESULT = checksum of the page that is digested in DATA. */
export function pageChecksum(pgno: u32, pageSize: i32): void {
  checksumOf(pgno, pageSize)
}

/** STATE over a frame: page header, size field (blocks only: blockSize > 0), and the page that is digested in DATA. */
export function updateFrame(pgno: u32, blockSize: u32, pageSize: i32): void {
  let r = load<u64>(STATE)
  if (blockSize > 0) r = updatePrefix(r, pgno, blockSize)
  else r = updateByte(updateByte(updatePgno(r, pgno), 0), 0)
  store<u64>(STATE, shift(r, pageSize) ^ load<u64>(DATA))
}

/** The page in PAGE becomes a whole frame, its block at BLOCK and its ten bytes before it. Returns the block's size. */
export function encodeFrame(pgno: u32, pageSize: i32): i32 {
  const blockSize = compress(pageSize)
  store<u32>(BLOCK - 10, bswap<u32>(pgno))
  store<u16>(BLOCK - 6, bswap<u16>(<u16>FLAG_SIZE))
  store<u32>(BLOCK - 4, bswap<u32>(blockSize))
  digestPage(pageSize)
  updateFrame(pgno, blockSize, pageSize)
  return blockSize
}

/** The page in PAGE becomes a block in BLOCK. Returns the block's size. */
export function compressPage(pageSize: i32): i32 {
  return compress(pageSize)
}

/** The block in BLOCK becomes the page in PAGE. Returns 0, and leaves STATE alone, if it is no block of one page. */
export function decodeFrame(pgno: u32, blockSize: i32, pageSize: i32): i32 {
  if (decompress(BLOCK, blockSize, 0, pageSize, 0) != pageSize) return 0
  digestPage(pageSize)
  updateFrame(pgno, blockSize, pageSize)
  return 1
}

/** The register after the ten bytes in front of a block. */
function updatePrefix(register: u64, pgno: u32, blockSize: u32): u64 {
  const size = bswap<u32>(blockSize)
  const r = updateWord(register, (<u64>bswap<u32>(pgno)) | ((<u64>FLAG_SIZE) << 40) | ((<u64>size) << 48))
  return updateByte(updateByte(r, (size >> 16) & 0xff), size >> 24)
}

/** A step of MurmurHash3. */
function mix(hash: u32, word: u32, factor: u32): u32 {
  return rotl<u32>((hash ^ word) * factor, 13) * 5 + factor
}

/**
 * Decodes the frames in the first `size` bytes of WINDOW, up to the first one that is cut short, out of order, or
 * without a block of at most `maxBlock` bytes that decompresses to a page. Page numbers ascend from after `prev` to
 * `last`, without `lock`, and without gaps if `dense` is not zero. Updates STATE over the frames and SEQUENCE over
 * their numbers and sizes, and fills FRAMES and FRAMES_BYTES. Returns the number of frames.
 */
export function decodeFrames(
  size: i32,
  pageSize: i32,
  maxBlock: u32,
  prev: u32,
  last: u32,
  lock: u32,
  dense: i32,
): i32 {
  const end = WINDOW + size
  let at = WINDOW
  let row = FRAMES
  let count = 0
  let r = load<u64>(STATE)
  let a = load<u32>(SEQUENCE)
  let b = load<u32>(SEQUENCE, 4)
  while (count < MAX_FRAMES && <i32>(end - at) > FRAME_PREFIX) {
    const pgno = bswap<u32>(load<u32>(at))
    const blockSize = bswap<u32>(load<u32>(at, 6))
    if (load<u16>(at, 4) != (<u16>FLAG_SIZE) << 8 || blockSize == 0 || blockSize > maxBlock) break
    if (pgno <= prev || pgno > last || pgno == lock) break
    if (dense != 0 && pgno != (prev + 1 == lock ? prev + 2 : prev + 1)) break
    const block = at + FRAME_PREFIX
    if (blockSize > <u32>(end - block) || decompress(block, blockSize, 0, pageSize, 0) != pageSize) break
    const data = update(0, PAGE, pageSize)
    r = shift(updatePrefix(r, pgno, blockSize), pageSize) ^ data
    store<u32>(row, pgno)
    store<u32>(row, blockSize, 4)
    store<u64>(row, data, 8)
    const frameSize = blockSize + FRAME_PREFIX
    a = mix(mix(a, pgno, 0x85ebca6b), frameSize, 0x85ebca6b)
    b = mix(mix(b, pgno, 0x1b873593), frameSize, 0x1b873593)
    row += FRAME_BYTES
    at = block + blockSize
    prev = pgno
    count++
  }
  store<u64>(STATE, r)
  store<u32>(SEQUENCE, a)
  store<u32>(SEQUENCE, b, 4)
  store<u32>(FRAMES_BYTES, <u32>(at - WINDOW))
  return count
}

/** STATE over `count` frames that FRAMES describes. */
export function updateFrames(count: i32, pageSize: i32): void {
  let r = load<u64>(STATE)
  const end = FRAMES + <usize>count * FRAME_BYTES
  for (let row = FRAMES; row < end; row += FRAME_BYTES) {
    r = shift(updatePrefix(r, load<u32>(row), load<u32>(row, 4)), pageSize) ^ load<u64>(row, 8)
  }
  store<u64>(STATE, r)
}

/** One block of several, as LZ4 frames have them: see `decompress`. */
export function decompressBlock(blockSize: i32, at: i32, limit: i32, base: i32): i32 {
  return decompress(BLOCK, blockSize, at, limit, base)
}
