/**
 * The wal-index (`-shm`): two copies of a header, checkpoint information, then blocks that map a page to its newest
 * frame. Every field but the salts is in the machine's byte order.
 * Source: sqlite.org/walformat.html section 2, and wal.c.
 */

import type { Pgno } from '../ltx/format/types.ts'
import { WalChecksum } from './wal.ts'

export const WAL_INDEX_HEADER_SIZE = 48
export const WAL_INDEX_BLOCK_SIZE = 32768
export const READ_MARKS = 5
/** A read mark that no connection uses. */
export const READ_MARK_UNUSED = 0xffffffff

/** Offsets of the checkpoint information. */
export const CHECKPOINT_INFO = { backfilled: 96, readMarks: 100, backfillAttempted: 128, end: 136 } as const

const VERSION = 3007000
const HASH_SLOTS = 8192
const HASH_MULTIPLIER = 383
const HASH_AT = WAL_INDEX_BLOCK_SIZE - 2 * HASH_SLOTS
const BLOCK_FRAMES = HASH_AT / 4
const FIRST_BLOCK_FRAMES = BLOCK_FRAMES - CHECKPOINT_INFO.end / 4
/** Slots are written in whole cache lines, so that a reader never sees half a slot. */
const LINE = 64

const NATIVE_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

/** Whether WAL frames written on this machine have checksums over big-endian words. */
export const NATIVE_BIG_ENDIAN = !NATIVE_LITTLE_ENDIAN

export interface WalIndexHeader {
  /** Grows by one with each transaction, and wraps. */
  readonly change: number
  readonly bigEndianChecksums: boolean
  /** 0 until the first frame after a recovery. */
  readonly pageSize: number
  /** Last committed frame, from 1; 0 when the WAL holds nothing. */
  readonly maxFrame: number
  /** Database size after the last commit. */
  readonly sizePages: number
  /** Running checksum of the WAL up to `maxFrame`. */
  readonly frameChecksum1: number
  readonly frameChecksum2: number
  readonly salt1: number
  readonly salt2: number
}

/** The header that SQLite writes when it finds no WAL. */
export const FRESH_WAL_INDEX: WalIndexHeader = {
  change: 0,
  bigEndianChecksums: NATIVE_BIG_ENDIAN,
  pageSize: 0,
  maxFrame: 0,
  sizePages: 0,
  frameChecksum1: 0,
  frameChecksum2: 0,
  salt1: 0,
  salt2: 0,
}

/** Whether both are of the same state of the WAL. */
export function isSameHeader(a: WalIndexHeader, b: WalIndexHeader): boolean {
  const isSameWal = a.salt1 === b.salt1 && a.salt2 === b.salt2
  const isSameEnd = a.frameChecksum1 === b.frameChecksum1 && a.frameChecksum2 === b.frameChecksum2
  return isSameWal && isSameEnd && a.change === b.change && a.maxFrame === b.maxFrame
}

/** One copy of the header, with its checksum. */
export function marshalWalIndexHeader(header: WalIndexHeader): Uint8Array {
  const bytes = new Uint8Array(WAL_INDEX_HEADER_SIZE)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, VERSION, NATIVE_LITTLE_ENDIAN)
  view.setUint32(8, header.change >>> 0, NATIVE_LITTLE_ENDIAN)
  view.setUint8(12, 1)
  view.setUint8(13, header.bigEndianChecksums ? 1 : 0)
  view.setUint16(14, (header.pageSize & 0xff00) | (header.pageSize >>> 16), NATIVE_LITTLE_ENDIAN)
  view.setUint32(16, header.maxFrame, NATIVE_LITTLE_ENDIAN)
  view.setUint32(20, header.sizePages, NATIVE_LITTLE_ENDIAN)
  view.setUint32(24, header.frameChecksum1, NATIVE_LITTLE_ENDIAN)
  view.setUint32(28, header.frameChecksum2, NATIVE_LITTLE_ENDIAN)
  view.setUint32(32, header.salt1)
  view.setUint32(36, header.salt2)
  const sum = new WalChecksum().update(view, 0, 40, NATIVE_BIG_ENDIAN)
  view.setUint32(40, sum.s1, NATIVE_LITTLE_ENDIAN)
  view.setUint32(44, sum.s2, NATIVE_LITTLE_ENDIAN)
  return bytes
}

/**
 * Reads the two copies at the start of the wal-index. Returns undefined when they differ or are invalid: then the
 * wal-index must be recovered.
 */
export function unmarshalWalIndexHeader(bytes: Uint8Array): WalIndexHeader | undefined {
  if (bytes.length < 2 * WAL_INDEX_HEADER_SIZE) return undefined
  for (let i = 0; i < WAL_INDEX_HEADER_SIZE; i++) if (bytes[i] !== bytes[i + WAL_INDEX_HEADER_SIZE]) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const u32 = (at: number) => view.getUint32(at, NATIVE_LITTLE_ENDIAN)
  if (u32(0) !== VERSION || view.getUint8(12) === 0) return undefined
  if (!new WalChecksum().update(view, 0, 40, NATIVE_BIG_ENDIAN).is(u32(40), u32(44))) return undefined
  const size = view.getUint16(14, NATIVE_LITTLE_ENDIAN)
  return {
    change: u32(8),
    bigEndianChecksums: view.getUint8(13) !== 0,
    pageSize: (size & 0xfe00) | ((size & 1) << 16),
    maxFrame: u32(16),
    sizePages: u32(20),
    frameChecksum1: u32(24),
    frameChecksum2: u32(28),
    salt1: view.getUint32(32),
    salt2: view.getUint32(36),
  }
}

/** A u32 of the checkpoint information. */
export function nativeU32(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, NATIVE_LITTLE_ENDIAN)
}

export function setNativeU32(bytes: Uint8Array, at: number, value: number): void {
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(at, value, NATIVE_LITTLE_ENDIAN)
}

/** The block that frame `frame` (from 1) is in, from 0. */
export function blockOfFrame(frame: number): number {
  return frame <= FIRST_BLOCK_FRAMES ? 0 : 1 + Math.floor((frame - FIRST_BLOCK_FRAMES - 1) / BLOCK_FRAMES)
}

/** The frame before the block's first frame. */
export function frameBeforeBlock(block: number): number {
  return block === 0 ? 0 : FIRST_BLOCK_FRAMES + (block - 1) * BLOCK_FRAMES
}

/** A range of a block that has changed. */
export interface BlockRange {
  readonly start: number
  readonly end: number
}

/** One block: the page number of each of its frames, and a hash table from page numbers to frames. */
export class WalIndexBlock {
  readonly number: number
  readonly bytes: Uint8Array
  readonly #view: DataView
  /** Offset of the first page number. In block 0 the headers come before it. */
  readonly start: number
  readonly #before: number
  readonly capacity: number
  #slots: BlockRange[] = []

  constructor(number: number, bytes: Uint8Array = new Uint8Array(WAL_INDEX_BLOCK_SIZE)) {
    this.number = number
    this.bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.start = number === 0 ? CHECKPOINT_INFO.end : 0
    this.#before = frameBeforeBlock(number)
    this.capacity = number === 0 ? FIRST_BLOCK_FRAMES : BLOCK_FRAMES
  }

  /** The page of a frame of this block; 0 before the frame is added. */
  pgno(frame: number): Pgno {
    return this.#view.getUint32(this.#pgnoAt(frame), NATIVE_LITTLE_ENDIAN)
  }

  /** Adds the next frame. */
  add(frame: number, pgno: Pgno): void {
    this.#view.setUint32(this.#pgnoAt(frame), pgno, NATIVE_LITTLE_ENDIAN)
    let slot = (pgno * HASH_MULTIPLIER) & (HASH_SLOTS - 1)
    while (this.#slot(slot) !== 0) slot = (slot + 1) & (HASH_SLOTS - 1)
    const at = HASH_AT + 2 * slot
    this.#view.setUint16(at, frame - this.#before, NATIVE_LITTLE_ENDIAN)
    const line = at - (at % LINE)
    this.#slots.push({ start: line, end: line + LINE })
  }

  /**
   * Removes every frame after `frame`: those of a writer that crashed before it updated the header. Returns whether
   * there were any.
   */
  cut(frame: number): boolean {
    const remaining = frame - this.#before
    let changed = false
    for (let slot = 0; slot < HASH_SLOTS; slot++) {
      if (this.#slot(slot) <= remaining) continue
      this.#view.setUint16(HASH_AT + 2 * slot, 0, NATIVE_LITTLE_ENDIAN)
      changed = true
    }
    const from = this.start + 4 * remaining
    for (let at = from; at < HASH_AT; at++) changed ||= this.bytes[at] !== 0
    this.bytes.fill(0, from, HASH_AT)
    return changed
  }

  /** The newest frame of a page up to `maxFrame`, by SQLite's own search; 0 when this block has none. */
  find(pgno: Pgno, maxFrame: number): number {
    let found = 0
    let slot = (pgno * HASH_MULTIPLIER) & (HASH_SLOTS - 1)
    for (let index = this.#slot(slot); index !== 0; index = this.#slot(slot)) {
      const frame = this.#before + index
      if (frame <= maxFrame && this.pgno(frame) === pgno) found = frame
      slot = (slot + 1) & (HASH_SLOTS - 1)
    }
    return found
  }

  /** The ranges changed since the last call: page numbers first, then slots, merged unless they are few. */
  takeChanges(firstFrame: number, lastFrame: number): BlockRange[] {
    const pgnos = { start: this.#pgnoAt(firstFrame), end: this.#pgnoAt(lastFrame) + 4 }
    const slots = this.#slots
    this.#slots = []
    if (slots.length <= FEW_SLOTS) return [pgnos, ...slots]
    let start = WAL_INDEX_BLOCK_SIZE
    let end = HASH_AT
    for (const slot of slots) {
      if (slot.start < start) start = slot.start
      if (slot.end > end) end = slot.end
    }
    return [pgnos, { start, end }]
  }

  #pgnoAt(frame: number): number {
    return this.start + 4 * (frame - this.#before - 1)
  }

  #slot(slot: number): number {
    return this.#view.getUint16(HASH_AT + 2 * slot, NATIVE_LITTLE_ENDIAN)
  }
}

/** Up to this many slots are written one by one. */
const FEW_SLOTS = 2
