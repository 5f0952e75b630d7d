import { SharedCheckpoint } from '../../apply/shared-checkpoint.ts'
import type { SharedDatabase } from '../../apply/shared-database.ts'
import type { SharedWalIndex } from '../../apply/shared-wal-index.ts'
import type { DatabaseInodes } from '../../sqlite/database-files.ts'

/** What `closeAsLast` works with. The caller holds the checkpoint lock. */
export interface LeftBehind {
  readonly database: SharedDatabase
  readonly index: SharedWalIndex
  readonly makeDurable: () => Promise<void>
  /** Called before the WAL and its index are removed. */
  readonly removing: (inodes: DatabaseInodes) => void
}

/**
 * Does the work of the applications' last connection, which has closed and could not remove the WAL because this
 * process had it open. False if a connection has the database open.
 *
 * It copies without SQLite's EXCLUSIVE lock, and takes that for the removal alone. An application that opens the
 * database meanwhile finds the checkpoint lock held, and SQLite waits for it without a busy handler; this stops as soon
 * as it sees one. Under the EXCLUSIVE lock SQLite would report that the database is locked.
 */
export async function closeAsLast({ database, index, makeDurable, removing }: LeftBehind): Promise<boolean> {
  if (index.isInUse()) return false
  const work = new SharedCheckpoint(database, index, { makeDurable, isStopped: () => index.isInUse() })
  let { state } = await work.run()
  // One pass copies a bounded number of frames.
  while (state === 'behind' && !index.isInUse()) ({ state } = await work.run())
  if (state === 'complete' && database.becomeLast(index) && work.isWhole()) database.removeWal(index, removing)
  return true
}
