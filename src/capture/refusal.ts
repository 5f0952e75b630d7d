import fs from 'node:fs'
import type { Caller } from '../fuse/content.ts'
import type { ErrnoName } from '../fuse/errno.ts'
import { FsError } from '../fuse/errno.ts'
import type { Checksum } from '../ltx/format/types.ts'
import { formatChecksum } from '../ltx/format/types.ts'
import type { CaptureEvents } from './events.ts'

/** Refuses an application's operation: an errno for the application, and a line in the node's log, naming file and process, for a person. */
export type Refuse = (events: CaptureEvents, database: string, caller: Caller) => FsError

/** The journal mode is OFF or MEMORY, or something that is not SQLite writes into a database. */
export const refuseUnjournaled: Refuse = (events, database, caller) =>
  refuse(
    events,
    'EPERM',
    'a write without a journal (journal_mode OFF or MEMORY, or not SQLite) was refused; nothing was changed. ' +
      'Use journal_mode WAL, DELETE, TRUNCATE or PERSIST; to replace a database, remove it first',
    database,
    caller,
  )

/** The configuration says what files there may be. */
export const refuseOther: Refuse = (events, file, caller) =>
  refuse(
    events,
    'EPERM',
    'a file that is no database was refused: its name matches none of fuse.databases, and fuse.other-files is refuse',
    file,
    caller,
  )

/** On a replica: its primary has a database that this node's configuration does not want. */
export function refusePattern(events: CaptureEvents, database: string): FsError {
  const message =
    'a database of the primary was refused: its name matches none of fuse.databases here. Use the same patterns on all nodes'
  events.log('error', message, { database, errno: 'EPERM' })
  return new FsError('EPERM', message)
}

export const refuseRename: Refuse = (events, database, caller) =>
  refuse(events, 'EBUSY', 'renaming a database that is open was refused: close it first', database, caller)

/** On a replica nobody but the local client writes (I5). Applications retry, or ask `.primary` where to go: not worth a line each time. */
export function refuseReplica(events: CaptureEvents, database: string, caller?: Caller): FsError {
  const message = 'a write on a replica was refused; nothing was changed. Write on the primary: .primary names it'
  events.log('debug', message, { database, errno: 'EROFS', ...(caller && { process: describe(caller) }) })
  return new FsError('EROFS', message)
}

/** The lease has run out, and nobody has said so yet (I6). */
export function refuseExpired(events: CaptureEvents, database: string): FsError {
  const message = 'a commit was refused: the lease of this node has run out; nothing was changed'
  events.log('warn', message, { database, errno: 'EROFS' })
  return new FsError('EROFS', message)
}

/** What the local client wrote is not what the primary has. */
export function refuseUnexpected(
  events: CaptureEvents,
  database: string,
  expected: Checksum,
  actual: Checksum,
): FsError {
  const message = `a transaction of the primary was refused: it would give checksum ${formatChecksum(actual)}, expected ${formatChecksum(expected)}`
  events.log('error', message, { database, errno: 'EIO' })
  return new FsError('EIO', message)
}

/** Why a database is served no more in which a wrong page was found after the start. */
export function damageFound(pgno: number, logDir: string): string {
  return (
    `page ${pgno} of its file does not have the checksum that the LTX log says: the file was changed while no node served it, ` +
    `or the disk lost writes. Stop the node, and restore it with "ltxd restore", or move its file and ${logDir} away together`
  )
}

/** Recovery gave up on the database. */
export function refuseUnreadable(events: CaptureEvents, database: string, reason: string, caller: Caller): FsError {
  return refuse(events, 'EIO', `the database is not served: ${reason}`, database, caller)
}

/** The transaction that ends would leave something that is no database. */
export function refuseDamaged(events: CaptureEvents, database: string): FsError {
  const message = 'the transaction was refused: it would leave a file that does not begin with a SQLite header'
  events.log('error', message, { database, errno: 'EIO' })
  return new FsError('EIO', message)
}

function refuse(events: CaptureEvents, errno: ErrnoName, message: string, database: string, caller: Caller): FsError {
  events.log('error', message, { database, process: describe(caller), errno })
  return new FsError(errno, message)
}

function describe({ tid }: Caller): string {
  if (tid === 0) return 'the kernel'
  try {
    return `${fs.readFileSync(`/proc/${tid}/comm`, 'utf8').trim()} (${tid})`
  } catch {
    return String(tid)
  }
}
