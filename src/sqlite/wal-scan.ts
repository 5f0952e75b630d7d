import type { ReadAt } from './journal.ts'
import type { WalHeader } from './wal.ts'
import { FRAME_HEADER_SIZE, frameField, frameSize, parseWalHeader, WAL_HEADER_SIZE, WalChecksum } from './wal.ts'

/** A committed transaction in a WAL. */
export interface WalTransaction {
  /** The byte after its commit frame. */
  readonly end: number
  readonly start: number
  /** Database size in pages after it. */
  readonly commit: number
  /** For each page in the transaction, the offset of its last version in the WAL. */
  readonly pages: ReadonlyMap<number, number>
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
  let pages = new Map<number, number>()
  let start = WAL_HEADER_SIZE
  for (let at = WAL_HEADER_SIZE; at + size <= sizeBytes; at += size) {
    const frame = read(at, size)
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
    const pgno = frameField.pgno(view, 0)
    if (pgno === 0 || frameField.salt1(view, 0) !== header.salt1 || frameField.salt2(view, 0) !== header.salt2) break
    sum.update(view, 0, 8, header.bigEndianChecksums)
    sum.update(view, FRAME_HEADER_SIZE, header.pageSize, header.bigEndianChecksums)
    if (!sum.is(frameField.checksum1(view, 0), frameField.checksum2(view, 0))) break
    pages.set(pgno, at + FRAME_HEADER_SIZE)
    const commit = frameField.commit(view, 0)
    if (commit === 0) continue
    transactions.push({ start, end: at + size, commit, pages })
    pages = new Map()
    start = at + size
  }
  return { header, transactions }
}
