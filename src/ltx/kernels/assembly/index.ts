/** What TypeScript calls. One page lies in PAGE, its block in BLOCK; STATE goes in and comes out. */
import { BLOCK, DATA, PAGE, STATE } from './layout'
import { shift, update, updateByte, updatePgno, pageChecksum as checksumOf } from './crc64'
import { compress, decompress } from './lz4'

/** A size field follows the page header, and the data is an LZ4 block. */
const FLAG_SIZE: u32 = 1

export function blockAddress(): usize {
  return BLOCK
}

export function pageAddress(): usize {
  return PAGE
}

/** STATE over `size` bytes of PAGE. */
export function updateState(size: i32): void {
  store<u64>(STATE, update(load<u64>(STATE), PAGE, size))
}

/** DATA from the page in PAGE. */
export function digestPage(pageSize: i32): void {
  store<u64>(DATA, update(0, PAGE, pageSize))
}

/** RESULT = checksum of the page that DATA stands for. */
export function pageChecksum(pgno: u32, pageSize: i32): void {
  checksumOf(pgno, pageSize)
}

/** STATE over a frame: page header, size field (blocks only: blockSize > 0), and the page that DATA stands for. */
export function updateFrame(pgno: u32, blockSize: u32, pageSize: i32): void {
  let r = updatePgno(load<u64>(STATE), pgno)
  r = updateByte(r, 0)
  r = updateByte(r, blockSize > 0 ? FLAG_SIZE : 0)
  if (blockSize > 0) r = updatePgno(r, blockSize)
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
  if (decompress(blockSize, 0, pageSize, 0) != pageSize) return 0
  digestPage(pageSize)
  updateFrame(pgno, blockSize, pageSize)
  return 1
}

/** One block of several, as LZ4 frames have them: see `decompress`. */
export function decompressBlock(blockSize: i32, at: i32, limit: i32, base: i32): i32 {
  return decompress(blockSize, at, limit, base)
}
