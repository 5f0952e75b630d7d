/** The committed pages of a database in a plain directory, read without SQLite, so that no connection is disturbed. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { foldChecksum, pageChecksum } from '../../src/ltx/format/checksum.ts'
import { type Checksum, EMPTY_CHECKSUM } from '../../src/ltx/format/types.ts'
import { parseDatabaseHeader, sizePages } from '../../src/sqlite/database-header.ts'
import { hasJournalMagic } from '../../src/sqlite/journal.ts'
import { FRAME_HEADER_SIZE, frameField, frameOffset, parseWalHeader, WAL_HEADER_SIZE } from '../../src/sqlite/wal.ts'
import { unmarshalWalIndexHeader } from '../../src/sqlite/wal-index.ts'
import { scanWal } from '../../src/sqlite/wal-scan.ts'
import { bytesOf } from './application.ts'

export interface Committed {
  readonly pageSize: number
  readonly bytes: Buffer
  readonly checksum: Checksum
}

/**
 * The committed pages. `none`: there is no database, or it has no content. `unknown`: a transaction under way has
 * changed the file, or only the connection knows.
 */
export function committedPages(path: string, mayHaveChanged: boolean): Committed | 'none' | 'unknown' {
  const file = read(path)
  if (file === undefined) return 'none'
  const wal = read(`${path}-wal`)
  // A file that was made anew beside another one's WAL: SQLite removes the WAL when it first reads.
  if (file.length === 0) return mayHaveChanged || wal !== undefined ? 'unknown' : 'none'
  const walHeader = wal && parseWalHeader(wal)
  const latest = walHeader === undefined ? undefined : latestFrames(path, wal as Buffer)
  if (latest === 'unknown') return 'unknown'
  if (latest === undefined) {
    const journal = read(`${path}-journal`)
    if (mayHaveChanged || (journal !== undefined && hasJournalMagic(journal))) return 'unknown'
    const header = parseDatabaseHeader(file)
    if (header === undefined) return 'unknown'
    return pages(file.subarray(0, sizePages(header, file.length) * header.pageSize), header.pageSize)
  }
  const { pageSize, frames, commit } = latest
  const bytes = Buffer.alloc(commit * pageSize)
  file.copy(bytes, 0, 0, Math.min(file.length, bytes.length))
  for (const [pgno, at] of frames) if (pgno <= commit) wal?.copy(bytes, (pgno - 1) * pageSize, at, at + pageSize)
  return pages(bytes, pageSize)
}

interface Frames {
  readonly pageSize: number
  readonly commit: number
  /** The offset of each page's newest committed version in the WAL. */
  readonly frames: ReadonlyMap<number, number>
}

/** By the wal-index, as SQLite reads. Without one, by the WAL, as SQLite's recovery would. */
function latestFrames(path: string, wal: Buffer): Frames | 'unknown' | undefined {
  const index = read(`${path}-shm`)
  const header = index && unmarshalWalIndexHeader(index)
  const frames = new Map<number, number>()
  if (header !== undefined) {
    const { pageSize, maxFrame, sizePages: commit, salt1 } = header
    if (maxFrame === 0) return undefined
    if (parseWalHeader(wal)?.salt1 !== salt1 || wal.length < frameOffset(maxFrame, pageSize)) return 'unknown'
    const view = new DataView(wal.buffer, wal.byteOffset, wal.length)
    for (let i = 0; i < maxFrame; i++) {
      const at = frameOffset(i, pageSize)
      frames.set(frameField.pgno(view, at), at + FRAME_HEADER_SIZE)
    }
    return { pageSize, commit, frames }
  }
  // A connection in exclusive mode keeps its wal-index to itself.
  const content = scanWal((at, length) => wal.subarray(at, at + length), wal.length)
  const last = content?.transactions.at(-1)
  if (recoversLess(path)) return 'unknown'
  if (content === undefined || last === undefined) return wal.length > WAL_HEADER_SIZE ? 'unknown' : undefined
  for (const { pages: found } of content.transactions) for (const [pgno, at] of found) frames.set(pgno, at)
  return { pageSize: content.header.pageSize, commit: last.commit, frames }
}

/**
 * Whether SQLite's recovery would find less than is committed: up to 3.46 at least, ROLLBACK TO leaves frames without
 * checksums in a WAL, and loses them and all that follows when the wal-index is gone.
 */
export function recoversLess(path: string): boolean {
  const wal = read(`${path}-wal`)
  const header = wal && parseWalHeader(wal)
  if (wal === undefined || header === undefined) return false
  const { pageSize, salt1 } = header
  const found = scanWal((at, length) => wal.subarray(at, at + length), wal.length)
  const end = found?.transactions.at(-1)?.end ?? WAL_HEADER_SIZE
  const index = read(`${path}-shm`)
  const known = index && unmarshalWalIndexHeader(index)
  if (known?.salt1 === salt1) return known.maxFrame > 0 && end < frameOffset(known.maxFrame, pageSize)
  const view = new DataView(wal.buffer, wal.byteOffset, wal.length)
  let hasBare = false
  for (let at = end; at + FRAME_HEADER_SIZE + pageSize <= wal.length; at += FRAME_HEADER_SIZE + pageSize) {
    const salt = frameField.salt1(view, at)
    if (salt !== 0 && salt !== salt1) return false
    // The commit frame itself may have got its checksums.
    hasBare ||= salt === 0
    if (hasBare && frameField.commit(view, at) !== 0) return true
  }
  return false
}

function pages(bytes: Buffer, pageSize: number): Committed {
  let checksum: Checksum = EMPTY_CHECKSUM
  for (let at = 0; at < bytes.length; at += pageSize)
    checksum = foldChecksum(checksum, pageChecksum(at / pageSize + 1, bytes.subarray(at, at + pageSize)))
  return { pageSize, bytes, checksum }
}

function read(path: string): Buffer | undefined {
  let fd: number
  try {
    fd = openSync(bytesOf(path), 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    const bytes = Buffer.alloc(fstatSync(fd).size)
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0))
  } finally {
    closeSync(fd)
  }
}
