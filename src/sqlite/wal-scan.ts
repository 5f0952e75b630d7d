import type { Pgno } from '../ltx/format/types.ts'
import type { ReadAt } from './journal.ts'
import { NewestFrames } from './page-list.ts'
import type { WalHeader } from './wal.ts'
import { FRAME_HEADER_SIZE, frameField, frameSize, parseWalHeader, WAL_HEADER_SIZE, WalChecksum } from './wal.ts'

/** A committed transaction in a WAL. */
export interface WalTransaction {
  /** The byte after its commit frame. */
  readonly end: number
  readonly start: number
  /** Database size in pages after it. */
  readonly commit: number
  readonly pages: WalPages
}

/** The pages of a transaction, ascending, and for each the offset of its last version in the WAL. */
export class WalPages {
  readonly #newest: NewestFrames
  readonly #start: number
  readonly #frameSize: number

  /** `frames`: the page of each frame, from offset `start` of the WAL on. */
  constructor(frames: Uint32Array, start: number, pageSize: number) {
    this.#newest = new NewestFrames(frames)
    this.#start = start + FRAME_HEADER_SIZE
    this.#frameSize = frameSize(pageSize)
  }

  get pgnos(): Uint32Array {
    return this.#newest.pgnos
  }

  get(pgno: Pgno): number | undefined {
    const frame = this.#newest.get(pgno)
    return frame === undefined ? undefined : this.#start + frame * this.#frameSize
  }

  *[Symbol.iterator](): Generator<[Pgno, number]> {
    for (const pgno of this.pgnos) yield [pgno, this.get(pgno) as number]
  }
}

export interface WalContent {
  readonly header: WalHeader
  readonly transactions: readonly WalTransaction[]
}

/** The transactions that SQLite's recovery would find in a WAL: all up to the last valid commit frame. */
export function scanWal(read: ReadAt, sizeBytes: number): WalContent | undefined {
  const header = parseWalHeader(read(0, WAL_HEADER_SIZE))
  if (header === undefined) return undefined
  const size = frameSize(header.pageSize)
  const transactions: WalTransaction[] = []
  const sum = new WalChecksum().set(header.checksum1, header.checksum2)
  const frames = new FrameList()
  let start = WAL_HEADER_SIZE
  for (let at = WAL_HEADER_SIZE; at + size <= sizeBytes; at += size) {
    const frame = read(at, size)
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
    const pgno = frameField.pgno(view, 0)
    if (pgno === 0 || frameField.salt1(view, 0) !== header.salt1 || frameField.salt2(view, 0) !== header.salt2) break
    sum.update(view, 0, 8, header.bigEndianChecksums)
    sum.update(view, FRAME_HEADER_SIZE, header.pageSize, header.bigEndianChecksums)
    if (!sum.is(frameField.checksum1(view, 0), frameField.checksum2(view, 0))) break
    frames.push(pgno)
    const commit = frameField.commit(view, 0)
    if (commit === 0) continue
    transactions.push({ start, end: at + size, commit, pages: new WalPages(frames.take(), start, header.pageSize) })
    start = at + size
  }
  return { header, transactions }
}

/** The page of each frame of a transaction. */
class FrameList {
  #pgnos = new Uint32Array(64)
  #length = 0

  push(pgno: Pgno): void {
    if (this.#length === this.#pgnos.length) {
      const larger = new Uint32Array(2 * this.#length)
      larger.set(this.#pgnos)
      this.#pgnos = larger
    }
    this.#pgnos[this.#length++] = pgno
  }

  /** Valid until the next push, which begins a new list. */
  take(): Uint32Array {
    const taken = this.#pgnos.subarray(0, this.#length)
    this.#length = 0
    return taken
  }
}
