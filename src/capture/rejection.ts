import type { Caller } from '../fuse/content.ts'
import type { ErrnoName } from '../fuse/errno.ts'
import { FsError } from '../fuse/errno.ts'
import type { Checksum } from '../ltx/format/types.ts'
import { formatChecksum } from '../ltx/format/types.ts'
import { describeCaller } from './caller-name.ts'
import type { CaptureEvents } from './events.ts'
import { nameProblem } from './naming.ts'

/**
 * Rejects an application's operation: an errno for the application, and a line in the node's log that names file and
 * process.
 */
export type Reject = (events: CaptureEvents, database: string, caller: Caller) => FsError

/** The journal mode is OFF or MEMORY, or a program other than SQLite writes into a database. */
export const rejectUnjournaled: Reject = (events, database, caller) =>
  reject(
    events,
    'EPERM',
    'a write without a journal (journal_mode OFF or MEMORY, or not SQLite) was rejected; nothing was changed. ' +
      'Use journal_mode WAL, DELETE, TRUNCATE or PERSIST; to replace a database, close it and copy over it, or rename over it',
    { database },
    caller,
  )

/** A program replaces a database in place, where that would lose something. */
export function rejectReplacement(events: CaptureEvents, database: string, caller: Caller, obstacle: string): FsError {
  const message =
    `a write without a journal was rejected: the database cannot be replaced in place now, because ${obstacle}; ` +
    'nothing was changed. Close it everywhere, or rename another file over it'
  return reject(events, 'EPERM', message, { database }, caller)
}

/** A replacement whose parts would take memory without end (I10). */
export function rejectScattered(events: CaptureEvents, database: string, caller: Caller, problem: string): FsError {
  const message =
    `a write was rejected: the database is being replaced in place, and ${problem}. It keeps its former content. ` +
    'Write the file in order, or write another file and rename it over the database'
  return reject(events, 'EPERM', message, { database }, caller)
}

/** Readers come back, so it is logged at debug level. */
export function rejectBeingReplaced(events: CaptureEvents, database: string, caller: Caller): FsError {
  const message = 'an open was rejected: the database is being replaced in place. Open it again when that has ended'
  events.log('debug', message, { database, errno: 'EBUSY', process: describeCaller(caller) })
  return new FsError('EBUSY', message)
}

/** A database in WAL mode: whatever is written to its file must have been committed before. */
export function rejectUncommitted(events: CaptureEvents, database: string, caller: Caller, pgno: number): FsError {
  const message =
    `a write without a journal was rejected: page ${pgno} of a database in WAL mode would become what no transaction ` +
    'committed (journal_mode OFF or MEMORY, or not SQLite); nothing was changed. ' +
    'Use journal_mode WAL, DELETE, TRUNCATE or PERSIST; to replace a database, close it and copy over it, or rename over it'
  return reject(events, 'EPERM', message, { database }, caller)
}

/** The configuration admits only databases. */
export const rejectOther: Reject = (events, file, caller) =>
  reject(
    events,
    'EPERM',
    'a file that is not a database was rejected: its name matches none of fuse.databases, and fuse.other-files is refuse',
    { file },
    caller,
  )

/** The configuration admits only databases, and the file can be none because of its name. */
export const rejectUnfitName: Reject = (events, file, caller) =>
  reject(
    events,
    'EPERM',
    `a file that is not a database was rejected: ${nameProblem(file)}, and fuse.other-files is refuse`,
    { file },
    caller,
  )

/** No database can have that name, so none may begin there. */
export const rejectName: Reject = (events, file, caller) =>
  reject(
    events,
    'EPERM',
    `a database was rejected: ${nameProblem(file)}, so it could not be replicated; nothing was changed. ` +
      'Choose another name for the database. As a plain file the name works',
    { file },
    caller,
  )

/** With `8_3_names` SQLite shortens the names of side files, and ltxd would not know them. */
export function rejectShortName(events: CaptureEvents, file: string, caller: Caller, database: string): FsError {
  const message =
    `a journal or WAL was rejected: by its name it would be that of ${database} under SQLite's 8_3_names, and ltxd does ` +
    'not follow it; nothing was changed. Open the database without 8_3_names'
  return reject(events, 'EPERM', message, { file }, caller)
}

/** On a replica: the primary has a database that this node's configuration excludes. */
export function rejectPattern(events: CaptureEvents, database: string): FsError {
  const message =
    'a database of the primary was rejected: its name matches none of fuse.databases here. Use the same patterns on all nodes'
  events.log('error', message, { database, errno: 'EPERM' })
  return new FsError('EPERM', message)
}

/** The file alone would be half a transaction, and its journal is found by the old name. */
export const rejectRename: Reject = (events, database, caller) =>
  reject(
    events,
    'EBUSY',
    'renaming a database within a transaction was rejected: end the transaction first. ' +
      'If its application died, open the database once, which rolls the transaction back',
    { database },
    caller,
  )

/** A side file without its database, or in the place of another's, means lost transactions. */
export const rejectSideRename: Reject = (events, file, caller) =>
  reject(
    events,
    'EBUSY',
    'renaming a side file of a database was rejected, because the database would lose transactions: ' +
      'close the database, or rename the database first',
    { file },
    caller,
  )

/** A second name for a database would be a second database with the same bytes. */
export const rejectLink: Reject = (events, file, caller) =>
  reject(
    events,
    'EPERM',
    'a hard link was rejected: a file on the mount has one name, by which it is replicated. ' +
      'Copy the file, or make a symbolic link',
    { file },
    caller,
  )

/** Through a descriptor from before the rename. */
export const rejectMoved: Reject = (events, database, caller) =>
  reject(
    events,
    'EPERM',
    'a write to a database that was renamed while it was open was rejected; nothing was changed. ' +
      'Close it, and open it under its new name',
    { database },
    caller,
  )

/** On a replica only the local client writes (I5). `primary`: the hostname of the primary, if it is known. */
export function rejectOnReplica(
  events: CaptureEvents,
  database: string,
  primary: string | undefined,
  caller?: Caller,
  errno: 'EROFS' | 'EACCES' = 'EROFS',
): FsError {
  const where = primary === undefined ? 'no primary is known at the moment' : `write on ${primary}`
  const message = `a write was rejected, because this node is not the primary; nothing was changed: ${where}`
  events.log('info', message, { database, ...(caller && { process: describeCaller(caller) }), errno })
  return new FsError(errno, message)
}

/** This node leads, but not this database: what its backup may have of it could not be read. */
export function rejectWithheld(
  events: CaptureEvents,
  database: string,
  reason: string,
  caller?: Caller,
  errno: 'EROFS' | 'EACCES' = 'EROFS',
): FsError {
  const message = `a write was rejected, because the backup may be ahead and cannot be read; nothing was changed: ${reason}`
  events.log('error', message, { database, ...(caller && { process: describeCaller(caller) }), errno })
  return new FsError(errno, message)
}

/** On a replica with `fuse.replica-writes: readonly`. SQLite then opens the file read-only, as readers do, too. */
export const rejectWritable: Reject = (events, database, caller) => {
  const message =
    'an open for writing was rejected, because this node is not the primary and fuse.replica-writes is readonly: ' +
    'SQLite opens the database read-only'
  events.log('info', message, { database, process: describeCaller(caller), errno: 'EACCES' })
  return new FsError('EACCES', message)
}

/** The lease has expired, and the control plane has not changed the role yet (I6). */
export function rejectExpired(events: CaptureEvents, database: string): FsError {
  const message = 'a commit was rejected: the lease of this node has expired; nothing was changed'
  events.log('warn', message, { database, errno: 'EROFS' })
  return new FsError('EROFS', message)
}

/** A node has a fixed number of slots, one for each name that a database had since its start. */
export function rejectTooMany(events: CaptureEvents, database: string): FsError {
  const message =
    'a new database was rejected: this node has as many databases as it can hold; nothing was changed. Remove databases ' +
    'that are not needed any more: their places are free as soon as the backup and the connected replicas have the drop'
  events.log('error', message, { database, errno: 'ENOSPC' })
  return new FsError('ENOSPC', message)
}

/**
 * What the local client wrote differs from what the primary has. By the errno it knows that another attempt is in vain.
 */
export function rejectUnexpected(
  events: CaptureEvents,
  database: string,
  expected: Checksum,
  actual: Checksum,
): FsError {
  const message = `a transaction of the primary was rejected: applying it gives checksum ${formatChecksum(actual)}, expected ${formatChecksum(expected)}`
  events.log('error', message, { database, errno: 'EBADMSG' })
  return new FsError('EBADMSG', message)
}

/** Why a database is no longer served after a damaged page was found in it. */
export function damageFound(pgno: number, logDir: string): string {
  return (
    `page ${pgno} of its file does not have the checksum that the LTX log records: the file was changed while no node served it, ` +
    `or the disk lost writes. Stop the node, and restore it with "ltxd restore", or move its file and ${logDir} away together`
  )
}

/** Recovery failed, or damage was found while the database was served. */
export function rejectUnserved(events: CaptureEvents, database: string, reason: string, caller: Caller): FsError {
  return reject(events, 'EIO', `the database is not served: ${reason}`, { database }, caller)
}

/** Its pages are encrypted (SQLCipher, SEE, SQLite3MC), and it is not in WAL mode, so it could not be replicated. */
export const rejectEncrypted: Reject = (events, file, caller) =>
  reject(
    events,
    'EPERM',
    'a write was rejected: the database has no SQLite header, so it is probably encrypted and in a rollback mode ' +
      'could not be replicated, and fuse.other-files is refuse; nothing was changed. ' +
      'Use PRAGMA journal_mode = WAL before the first write',
    { file },
    caller,
  )

/** A header with versions that SQLite does not know. The kernel, or recovery, has no caller. */
export function rejectForeign(
  events: CaptureEvents,
  database: string,
  versions: readonly [write: number, read: number],
  caller?: Caller,
): FsError {
  const message = `a write was rejected: the database's header would say ${describeForeign(versions)}; nothing was changed`
  events.log('error', message, { database, errno: 'EPERM', ...(caller && { process: describeCaller(caller) }) })
  return new FsError('EPERM', message)
}

/** What a header says whose versions SQLite does not know. */
export function describeForeign([write, read]: readonly [write: number, read: number]): string {
  return (
    `a journal mode that neither SQLite nor ltxd can follow (write version ${write}, read version ${read}; ` +
    'SQLite knows 1 and 2). Use journal_mode WAL, DELETE, TRUNCATE or PERSIST'
  )
}

/** The transaction that ends would leave a file that is not a database. */
export function rejectDamaged(events: CaptureEvents, database: string): FsError {
  const message = 'the transaction was rejected: it would leave a file that does not begin with a SQLite header'
  events.log('error', message, { database, errno: 'EIO' })
  return new FsError('EIO', message)
}

/** The transaction that ends claims a database size that nothing it wrote explains (I10). */
export function rejectGrowth(events: CaptureEvents, database: string, sizePages: number): FsError {
  const message = `the transaction was rejected: it claims a database of ${sizePages} pages, which its writes do not explain`
  events.log('error', message, { database, errno: 'EIO' })
  return new FsError('EIO', message)
}

export function reject(
  events: CaptureEvents,
  errno: ErrnoName,
  message: string,
  subject: { readonly database: string } | { readonly file: string },
  caller: Caller,
): FsError {
  events.log('error', message, { ...subject, process: describeCaller(caller), errno })
  return new FsError(errno, message)
}
