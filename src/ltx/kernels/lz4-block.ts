/** LZ4 blocks, compressed and decompressed in WebAssembly, one page at a time. */
import { BLOCK, kernels, memory, PAGE } from './instance.ts'
import { stage } from './staging.ts'

/** Size of the largest block that LZ4 makes of a page. Larger ones are rejected. */
export function blockBound(pageSize: number): number {
  return pageSize + Math.floor(pageSize / 255) + 16
}

/**
 * Decompresses a block into the staged page, from byte `at` up to `limit`. Matches reach back to byte `base`. Returns
 * the number of decompressed bytes, or -1 if the block is not valid. The block must not be longer than `blockBound`.
 */
export function decompressInto(block: Uint8Array, at: number, limit: number, base: number): number {
  stage(block, BLOCK)
  return kernels.decompressBlock(block.length, at, limit, base)
}

/** The LZ4 block of a page, valid until the next call of anything in this folder. */
export function compressInto(page: Uint8Array): Uint8Array {
  stage(page, PAGE)
  return memory.subarray(BLOCK, BLOCK + kernels.compressPage(page.length))
}

/** The LZ4 block of a page, as a copy. */
export function compressBlock(page: Uint8Array): Uint8Array {
  return compressInto(page).slice()
}
