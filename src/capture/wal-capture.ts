import { pageChecksum } from '../ltx/format/checksum.ts'
import { lockPgno, type Pgno } from '../ltx/format/types.ts'
import { encryptionOf } from '../sqlite/database-header.ts'
import { pagesOf } from '../sqlite/locks.ts'
import { FRAME_HEADER_SIZE } from '../sqlite/wal.ts'
import { assertLogged } from './acknowledgement.ts'
import type { CapturedDatabase } from './captured-database.ts'
import type { WalSpan } from './change.ts'
import { missingPages } from './growth.ts'
import type { UncommittedFrames } from './uncommitted-frames.ts'
import { rejectPageSize } from './wal-rejection.ts'

/** Frames that end in a commit. */
export interface CommittedFrames {
  readonly uncommitted: UncommittedFrames
  readonly pageSize: number
  /** Index of the first of them. */
  readonly first: number
  /** The commit frame. */
  readonly last: Uint8Array
  /** Database size in pages. */
  readonly commit: number
  readonly span: WalSpan
}

/** Whether they only repeat the last frame, as SQLite pads a commit to a sector. The local client never does. */
export function repeatsLast({ pages, authority }: CapturedDatabase, frames: CommittedFrames): boolean {
  const { uncommitted, first, last, commit } = frames
  const pgno = uncommitted.only()
  if (pgno === undefined || commit !== pages.sizePages || !authority.leads) return false
  if (first === 0 || pages.frame(pgno) !== first - 1) return false
  return pageChecksum(pgno, last.subarray(FRAME_HEADER_SIZE)) === pages.checksum(pgno)
}

/** Commits the frames as one transaction. Throws FsError; then nothing has changed. */
export function captureFrames(database: CapturedDatabase, frames: CommittedFrames): void {
  const { uncommitted, pageSize, first, last, commit, span } = frames
  const { pages, appended } = database
  const newest = uncommitted.newest(commit, lockPgno(pageSize))
  const whole = pageSize !== database.pageSize
  if (whole && newest.pgnos.length !== pagesOf(commit, lockPgno(pageSize))) throw rejectPageSize(database, pageSize)
  const pgnos = whole ? newest.pgnos : missingPages(newest.pgnos, pages.sizePages, commit, pageSize)
  const lastIndex = uncommitted.length - 1
  const read = (pgno: Pgno) => {
    const at = newest.at(pgno)
    if (at === undefined) return database.readFile(pgno)
    return at === lastIndex ? last.subarray(FRAME_HEADER_SIZE) : database.readFrame(first + at)
  }
  const before = database.pageSize
  database.pageSize = pageSize
  let isWalMode = database.walMode
  try {
    if (newest.at(1) !== undefined) isWalMode = saysWalMode(read(1))
    database.commit({ commit, pgnos, read, wal: span, ...(whole && { whole }) })
  } catch (error) {
    database.pageSize = before
    throw error
  }
  assertLogged(database, appended)
  for (const pgno of newest.pgnos) pages.setFrame(pgno, first + (newest.at(pgno) as number))
  database.walMode = isWalMode
}

/** An encrypted page does not tell: only in WAL mode is it followed. */
function saysWalMode(page: Uint8Array): boolean {
  return page[19] === 2 || encryptionOf(page) === 'whole'
}
