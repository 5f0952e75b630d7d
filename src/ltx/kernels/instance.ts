/** The one instance of the WebAssembly module, and the areas of its memory: see assembly/layout.ts. */
import { KERNELS_BASE64 } from './module.ts'

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer }
  pageAddress(): number
  blockAddress(): number
  windowAddress(): number
  windowBytes(): number
  framesAddress(): number
  maxFrames(): number
  updateState(size: number): void
  digestPage(pageSize: number): void
  pageChecksum(pgno: number, pageSize: number): void
  updateFrame(pgno: number, blockSize: number, pageSize: number): void
  encodeFrame(pgno: number, pageSize: number): number
  compressPage(pageSize: number): number
  decodeFrame(pgno: number, blockSize: number, pageSize: number): number
  decodeFrames(
    size: number,
    pageSize: number,
    maxBlock: number,
    prev: number,
    last: number,
    lock: number,
    dense: number,
  ): number
  updateFrames(count: number, pageSize: number): void
  decompressBlock(blockSize: number, at: number, limit: number, base: number): number
}

/** The used part of the standard WebAssembly interface, which Node's type definitions lack. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object) => { readonly exports: unknown }
}

const wasm = Uint8Array.from(atob(KERNELS_BASE64), (character) => character.charCodeAt(0))
export const kernels = new WebAssembly.Instance(new WebAssembly.Module(wasm)).exports as Exports

export const MAX_PAGE_SIZE = 65536
/** Page header and size field, in front of a block. */
export const FRAME_PREFIX_SIZE = 10
/** Words that describe a frame: page number, block size, low and high half of its page's digest. */
export const FRAME_WORDS = 4
/** How many frames one call can process. */
export const MAX_FRAMES = kernels.maxFrames()

export const memory = new Uint8Array(kernels.memory.buffer)
/** Address of the decompressed page. */
export const PAGE = kernels.pageAddress()
/** Address of the compressed page. */
export const BLOCK = kernels.blockAddress()
/** Address of a piece of a file. */
export const WINDOW = kernels.windowAddress()
/** How much of a file one call can read. */
export const WINDOW_BYTES = kernels.windowBytes()

/** FRAME_WORDS for each frame of the last call. */
export const frames = new Int32Array(kernels.memory.buffer, kernels.framesAddress(), FRAME_WORDS * MAX_FRAMES)
/** STATE, DATA and RESULT of assembly/layout.ts, low half first. */
export const slots = new Int32Array(kernels.memory.buffer, 0, 6)
/** RESULT as a bigint. */
export const result = new BigUint64Array(kernels.memory.buffer, 16, 1)
/** SEQUENCE, and behind it FRAMES_BYTES. */
export const sequence = new Int32Array(kernels.memory.buffer, 24, 3)
