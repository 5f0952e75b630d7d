/**
 * The staging area: one page, one block and one window, shared by all calls of this folder. Bytes in it are valid only
 * until the next call.
 */
import { BLOCK, FRAME_PREFIX_SIZE, memory, PAGE } from './instance.ts'

/** Counts the writes to the staging area. */
let turn = 0

/** Changes whenever the staged page may have changed. */
export function stagingTurn(): number {
  return turn
}

/** Copies bytes into the staging area. */
export function stage(bytes: Uint8Array, address: number): void {
  turn++
  memory.set(bytes, address)
}

/** Copies bytes into the staged page, from its byte `at` on. */
export function copyInto(bytes: Uint8Array, at: number): void {
  stage(bytes, PAGE + at)
}

/** The page that was decompressed last, valid until the next call of anything in this folder. */
export function stagedPage(pageSize: number): Uint8Array {
  return memory.subarray(PAGE, PAGE + pageSize)
}

/** The frame that `CRCRegister.encode` made, valid until the next call of anything in this folder. */
export function stagedFrame(blockSize: number): Uint8Array {
  return memory.subarray(BLOCK - FRAME_PREFIX_SIZE, BLOCK + blockSize)
}
