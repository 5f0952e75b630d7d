import assert from 'node:assert/strict'
import type { WalHeader } from '../sqlite/wal.ts'
import {
  FRAME_HEADER_SIZE,
  frameField,
  frameOffset,
  frameSize,
  parseWalHeader,
  WAL_HEADER_SIZE,
} from '../sqlite/wal.ts'
import type { Files } from '../util/files.ts'
import type { CapturedDatabase } from './captured-database.ts'
import type { WalSpan } from './change.ts'
import type { Sums } from './wal-chain.ts'
import { rejectPageSize } from './wal-rejection.ts'

/** An open WAL's descriptor. */
export interface OpenWal {
  readonly files: Files
  readonly walFd: number
}

/**
 * 'own': of this generation. 'bare': without salts and checksums, which SQLite left to the commit (wal-overwrites.ts).
 * 'other': of another generation.
 */
export type Salts = 'own' | 'bare' | 'other'

/** The frames of a WAL with a valid header, as they are in the file. */
export class WalFrames {
  readonly header: WalHeader
  /** The file is not the WAL yet: what is in it belongs to who wrote it. */
  isArriving = false
  readonly #wal: OpenWal

  constructor(wal: OpenWal, header: WalHeader) {
    this.#wal = wal
    this.header = header
  }

  /** Bytes of a frame. */
  get size(): number {
    return frameSize(this.header.pageSize)
  }

  /** The index, from 0, of the frame that `offset` lies in. */
  indexOf(offset: number): number {
    return Math.floor((offset - WAL_HEADER_SIZE) / this.size)
  }

  offsetOf(index: number): number {
    return frameOffset(index, this.header.pageSize)
  }

  span(offset: number, end: number): WalSpan {
    const { salt1, salt2 } = this.header
    return { offset, size: end - offset, salt1, salt2 }
  }

  /** A frame, valid until the next call. SQLite writes header and page separately: one may be in `data`. */
  frameAt(at: number, data: Uint8Array = nothing, position = 0): Uint8Array {
    const { size } = this
    const frame = frameBuffer.subarray(0, size)
    const pageAt = at + FRAME_HEADER_SIZE
    if (position <= pageAt && position + data.length >= at + size) {
      frame.set(data.subarray(pageAt - position, at + size - position), FRAME_HEADER_SIZE)
      readWal(this.#wal, frame, at, FRAME_HEADER_SIZE)
    } else {
      readWal(this.#wal, frame, at, size)
    }
    return frame
  }

  /** The header of the frame that begins at `at`, valid until the next call. */
  headerAt(at: number): DataView {
    readWal(this.#wal, headerBuffer, at, FRAME_HEADER_SIZE)
    return headerView
  }

  saltsOf(frame: DataView): Salts {
    const { salt1, salt2 } = this.header
    if (frameField.salt1(frame, 0) === salt1 && frameField.salt2(frame, 0) === salt2) return 'own'
    for (let at = 8; at < FRAME_HEADER_SIZE; at += 4) if (frame.getUint32(at) !== 0) return 'other'
    return 'bare'
  }

  /** The sums of the frame that ends at `at`, or of the WAL's header. */
  sumsBefore(at: number): Sums {
    const { checksum1, checksum2 } = this.header
    if (at === WAL_HEADER_SIZE) return { s1: checksum1, s2: checksum2 }
    const frame = this.headerAt(at - this.size)
    return { s1: frameField.checksum1(frame, 0), s2: frameField.checksum2(frame, 0) }
  }

  /** Where the last transaction before `end`, which ends one, begins. Copies of its last frame belong to it. */
  lastStart(end: number): number {
    const { size } = this
    let at = end - size
    const last = this.frameAt(at).slice(FRAME_HEADER_SIZE)
    const isCopy = () => Buffer.compare(this.frameAt(at - size).subarray(FRAME_HEADER_SIZE), last) === 0
    while (at > WAL_HEADER_SIZE && this.#endsCommit(at - size) && isCopy()) at -= size
    while (at > WAL_HEADER_SIZE && !this.#endsCommit(at - size)) at -= size
    return at
  }

  #endsCommit(at: number): boolean {
    return frameField.commit(this.headerAt(at), 0) !== 0
  }

  /** Whether `data`, as far as it lies before `end`, is what the WAL holds at `position`. */
  holds(data: Uint8Array, position: number, end: number): boolean {
    const length = Math.min(data.length, end - position)
    const present = new Uint8Array(length)
    const n = readWal(this.#wal, present, position, length)
    return n === length && Buffer.compare(present, data.subarray(0, length)) === 0
  }
}

/** The WAL's header once `data` is written at `position`; undefined if it is not valid. Throws FsError. */
export function headerAfter(database: CapturedDatabase, data: Uint8Array, position: number): WalHeader | undefined {
  let bytes = data
  if (position > 0 || data.length < WAL_HEADER_SIZE) {
    bytes = new Uint8Array(WAL_HEADER_SIZE)
    readWal(database, bytes, 0, WAL_HEADER_SIZE)
    bytes.set(data.subarray(0, WAL_HEADER_SIZE - position), position)
  }
  const header = parseWalHeader(bytes)
  if (header === undefined || header.pageSize === database.pageSize) return header
  if (announcesPageSize(database, header.pageSize)) return header
  throw rejectPageSize(database, header.pageSize)
}

/**
 * SQLite changes no page size in WAL mode. The local client does where a program has the database open in that mode, by
 * a WAL that begins with all pages (apply/live-database.ts).
 */
function announcesPageSize({ authority, expectations, position }: CapturedDatabase, pageSize: number): boolean {
  return !authority.leads && expectations.next(position.txid)?.pageSize === pageSize
}

function readWal({ files, walFd }: OpenWal, into: Uint8Array, position: number, length: number): number {
  assert.ok(walFd >= 0, 'the WAL is open while it is tracked')
  return files.read(walFd, into, 0, length, position)
}

const nothing = new Uint8Array(0)
/** Shared by all trackers of the thread. */
const frameBuffer = new Uint8Array(FRAME_HEADER_SIZE + 65536)
const headerBuffer = new Uint8Array(FRAME_HEADER_SIZE)
const headerView = new DataView(headerBuffer.buffer)
