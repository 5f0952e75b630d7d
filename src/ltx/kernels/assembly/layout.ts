/**
 * The layout of linear memory, which never grows: four 64 KiB pages hold everything.
 * instance.ts gets the addresses of PAGE, BLOCK, WINDOW and FRAMES by calls. Those of the slots in front it repeats.
 */

/** u64: the CRC register of the current file. */
export const STATE: usize = 0
/** u64: the contribution of the bytes in PAGE to any register. */
export const DATA: usize = 8
/** u64: the requested checksum. */
export const RESULT: usize = 16

/** Two u32: running hashes of the frames that were decoded. */
export const SEQUENCE: usize = 24
/** u32: bytes of the frames that were decoded last. */
export const FRAMES_BYTES: usize = 32

/** Sixteen tables of sixteen u64, by which a register is moved by a page: see crc64.ts. */
export const PRODUCTS: usize = 1024

/** Hash table of the compressor: positions in PAGE, u16 each. */
export const TABLE: usize = PRODUCTS + 2048
export const MAX_TABLE_LOG: i32 = 12

/** Copies run in steps of 16 bytes and may overrun an area by at most this many bytes, which must be free. */
export const SLACK: usize = 64
/** A frame's page header and size field: they stand before PAGE to be checksummed, before BLOCK to be copied out. */
export const PREFIX: usize = 16

/** One page, decompressed: up to 65,536 bytes. */
export const PAGE: usize = TABLE + (2 << MAX_TABLE_LOG) + PREFIX
/** One page, compressed: up to 65,536 + 65,536/255 + 16 bytes. */
export const BLOCK: usize = PAGE + 65536 + SLACK + PREFIX
/** A piece of a file, at least as long as the longest frame. */
export const WINDOW: usize = BLOCK + 65536 + 512 + SLACK
export const WINDOW_BYTES: i32 = 65536 + 512
/** Rows of page number (u32), block size (u32) and DATA (u64). */
export const FRAMES: usize = WINDOW + WINDOW_BYTES + SLACK
export const MAX_FRAMES: i32 = 512
