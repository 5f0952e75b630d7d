/** Writes a write-ahead log, byte for byte as SQLite does. */

import type { Pgno } from '../ltx/format/types.ts'
import { FRAME_HEADER_SIZE, WAL_HEADER_SIZE, WalChecksum, type WalHeader } from './wal.ts'

const MAGIC = 0x377f0682
const FORMAT_VERSION = 3007000

export interface NewWal {
  readonly pageSize: number
  /** How often the WAL was restarted. */
  readonly checkpointSequence: number
  readonly salt1: number
  readonly salt2: number
  readonly bigEndianChecksums: boolean
}

/** The 32 bytes of a WAL's header, and its fields. */
export function marshalWalHeader(wal: NewWal): { readonly bytes: Uint8Array; readonly header: WalHeader } {
  const bytes = new Uint8Array(WAL_HEADER_SIZE)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, MAGIC | (wal.bigEndianChecksums ? 1 : 0))
  view.setUint32(4, FORMAT_VERSION)
  view.setUint32(8, wal.pageSize)
  view.setUint32(12, wal.checkpointSequence >>> 0)
  view.setUint32(16, wal.salt1)
  view.setUint32(20, wal.salt2)
  const { s1: checksum1, s2: checksum2 } = new WalChecksum().update(view, 0, 24, wal.bigEndianChecksums)
  view.setUint32(24, checksum1)
  view.setUint32(28, checksum2)
  return { bytes, header: { ...wal, checksum1, checksum2 } }
}

/** The chain of frames of one WAL: each frame's checksum continues the checksum of the frame before. */
export class FrameChain {
  readonly #header: Pick<WalHeader, 'salt1' | 'salt2' | 'bigEndianChecksums'>
  readonly #sum: WalChecksum

  /** Continues a running checksum: that of the header, or of the last frame. */
  constructor(header: Pick<WalHeader, 'salt1' | 'salt2' | 'bigEndianChecksums'>, checksum1: number, checksum2: number) {
    this.#header = header
    this.#sum = new WalChecksum().set(checksum1, checksum2)
  }

  get checksum1(): number {
    return this.#sum.s1
  }

  get checksum2(): number {
    return this.#sum.s2
  }

  /**
   * Writes a frame at `at`. `commit` is the size of the database if the frame ends a transaction, otherwise 0. Returns
   * the frame's end.
   */
  append(view: DataView, at: number, pgno: Pgno, commit: number, page: Uint8Array): number {
    const { salt1, salt2, bigEndianChecksums } = this.#header
    const data = at + FRAME_HEADER_SIZE
    new Uint8Array(view.buffer, view.byteOffset).set(page, data)
    view.setUint32(at, pgno)
    view.setUint32(at + 4, commit)
    view.setUint32(at + 8, salt1)
    view.setUint32(at + 12, salt2)
    this.#sum.update(view, at, 8, bigEndianChecksums).update(view, data, page.length, bigEndianChecksums)
    view.setUint32(at + 16, this.#sum.s1)
    view.setUint32(at + 20, this.#sum.s2)
    return data + page.length
  }
}
