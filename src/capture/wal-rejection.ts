import { FsError } from '../fuse/errno.ts'
import type { CapturedDatabase } from './captured-database.ts'

/** A write to a WAL that cannot be captured. Logged as an error, and counted as an alarm. */
function rejectWal(database: CapturedDatabase, problem: string, help: string): FsError {
  const { events, name } = database
  const message = `a write to the WAL was rejected: ${problem}; nothing was committed. ${help}`
  events.guarded(database)
  events.log('error', message, { database: name, errno: 'EIO' })
  return new FsError('EIO', message)
}

const REOPEN = 'Close all connections to the database, and open it again'

/** `maxFrame`: the end of the wal-index that was found to be ahead. */
export const rejectUncaptured = (database: CapturedDatabase, maxFrame?: number): FsError => {
  const found = maxFrame === undefined ? '' : `, up to frame ${maxFrame}`
  return rejectWal(database, `the wal-index lists commits that were not captured${found}`, REOPEN)
}

/** A WAL that has lost its name to another one: nobody who opens the database finds what is written here. */
export const rejectNameless = (database: CapturedDatabase): FsError =>
  rejectWal(database, 'the WAL was removed while it was open, and there is another one', REOPEN)

/** Bytes that end like a commit, but no recovery would find. */
export const rejectBrokenChain = (database: CapturedDatabase): FsError =>
  rejectWal(database, 'a commit frame does not continue the checksums of the frames before it', REOPEN)

export const rejectHeadless = (database: CapturedDatabase): FsError =>
  rejectWal(database, 'frames without a valid WAL header', REOPEN)

export const rejectPageSize = (database: CapturedDatabase, pageSize: number): FsError =>
  rejectWal(
    database,
    `the WAL has page size ${pageSize}, expected the database's ${database.pageSize}`,
    'To change the page size, leave WAL mode first, then run VACUUM',
  )

export const rejectCut = (database: CapturedDatabase): FsError =>
  rejectWal(database, 'a truncation inside committed transactions', 'SQLite truncates a WAL behind them, or to 0')
