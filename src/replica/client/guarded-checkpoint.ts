import { setTimeout as sleep } from 'node:timers/promises'
import { type CheckpointOutcome, SharedCheckpoint } from '../../apply/shared-checkpoint.ts'
import { SharedDatabase } from '../../apply/shared-database.ts'
import type { SharedWalIndex } from '../../apply/shared-wal-index.ts'
import type { LogReader } from '../../log/reader.ts'
import type { DatabaseInodes } from '../../sqlite/database-files.ts'
import { errorCode } from '../../util/errors.ts'
import type { FilesBeneath } from '../../util/files-beneath.ts'
import type { Announce } from './announcer.ts'
import { closeAsLast } from './last-connection.ts'

/** How long a sole writer has to complete the checkpoint itself. */
const WRITER_MS = 50

export interface Guarded {
  readonly name: string
  readonly path: string
  /** The database's file when its connections were seen. */
  readonly inode: number | undefined
  /** For syncing the log. The data plane's thread does not wait for that, so commits continue meanwhile. */
  readonly log: LogReader
  index: SharedWalIndex | undefined
  hasSeveralWriters: boolean
  stopped: boolean
  timer: NodeJS.Timeout | undefined
  intervalMs: number
  /** The wal-index's change counter at the last poll, by which a pause of the writers is noticed. */
  lastChange: number
  /** When nobody will have committed for long enough, or the next attempt is due. */
  quietAtMs: number
  restartTriedAt: number
  /** At the last poll an application was checkpointing, and everything was copied. */
  wasCheckpointed: boolean
  /** The last reported problem. */
  problem: string | undefined
}

/**
 * How the WAL restarts under full load. Several writers are used to waiting for each other, so they also wait some
 * milliseconds for this process (`restart`). A sole writer may take SQLITE_BUSY for a failure, so it copies the last
 * frames itself (`restart-by-writer`).
 */
export type Due = 'copy' | 'restart' | 'restart-by-writer'

const WORK: Readonly<Record<Due, (work: SharedCheckpoint) => Promise<CheckpointOutcome>>> = {
  copy: (work) => work.run(),
  restart: (work) => work.runAndRestart(),
  'restart-by-writer': (work) => work.runNearEnd(),
}

/**
 * The sole writer checkpoints at its next commit, which is little work by then, and restarts the WAL at the commit
 * after that. The WAL-reset bug needs two racing checkpoints, and there is only one. False while the writer's own
 * checkpoint runs.
 */
export async function finishedByWriter(guarded: Guarded, index: SharedWalIndex): Promise<boolean> {
  const frames = index.header()?.maxFrame ?? 0
  index.unlockCheckpoints()
  const until = performance.now() + WRITER_MS
  const isWaiting = () => !guarded.stopped && !guarded.hasSeveralWriters && performance.now() < until
  while (isWaiting() && (index.header()?.maxFrame ?? 0) >= frames) await sleep(1)
  return index.lockCheckpoints()
}

/** Undefined when applications use another wal-index than the held one, or one of them has the database to itself. */
export async function checkpoint(
  files: FilesBeneath,
  announce: Announce,
  guarded: Guarded,
  index: SharedWalIndex,
  due: Due,
): Promise<CheckpointOutcome | undefined> {
  const database = SharedDatabase.open(files, guarded.path)
  if (database === undefined) return undefined
  try {
    // The connections, which still use the wal-index, have opened a file that had this name before.
    if (guarded.inode !== database.inode) return undefined
    // Checked after the open: replacing the wal-index requires exclusive access to the database.
    if (!index.isUsable()) return undefined
    const makeDurable = async () => void (await guarded.log.sync())
    const removing = (inodes: DatabaseInodes) => {
      // Through libfuse the comparison of inodes just before has to do.
      ignoringLibfuse(() => announce({ op: 'remove', database: guarded.name, inodes }))
    }
    const leftBehind = { database, index, makeDurable, removing }
    if (await closeAsLast(leftBehind)) return undefined
    compare(announce, guarded.name, database, index)
    const work = new SharedCheckpoint(database, index, { makeDurable, isStopped: () => guarded.stopped })
    const outcome = await WORK[due](work)
    return (await closeAsLast(leftBehind)) ? undefined : outcome
  } finally {
    database.close()
  }
}

/** Lets the data plane compare what is committed by the wal-index with what it has captured. */
function compare(announce: Announce, name: string, database: SharedDatabase, index: SharedWalIndex): void {
  // Looked at again, and only then read: before, a connection may have opened the database that found no other.
  const header = index.isUsable() ? index.header() : undefined
  if (header === undefined) return
  const { maxFrame, salt1, salt2 } = header
  const inodes = database.inodes(index)
  ignoringLibfuse(() => announce({ op: 'indexed', database: name, index: { maxFrame, salt1, salt2 }, inodes }))
}

/** Through libfuse the data plane cannot tell who writes, so it takes no announcement. */
function ignoringLibfuse(announced: () => void): void {
  try {
    announced()
  } catch (error) {
    if (errorCode(error) !== 'EPERM') throw error
  }
}
