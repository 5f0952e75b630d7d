/** Which files that begin as a rollback journal does are that of their database's next transaction. */

import fs from 'node:fs'
import type { Caller } from '../fuse/content.ts'
import type { FsError } from '../fuse/errno.ts'
import { hasJournalMagic, JOURNAL_MAGIC_SIZE } from '../sqlite/journal.ts'
import type { Files } from '../util/files.ts'
import { withFile } from '../util/files.ts'
import type { Database } from './database.ts'
import { reject } from './rejection.ts'

/**
 * The file `fd` is about to begin as a journal; -1 if it gets the name of one. SQLite has the database open while it
 * writes one: any other was copied in with it. Throws FsError if what it commits could not be told.
 */
export function mayBegin(database: Database, fd: number, caller: Caller): void {
  assertMayBegin(database, fd, caller)
  const { authority, journal, file, replacing } = database
  const isReplaced = replacing.current !== undefined
  if (journal.active || !authority.leads || (file.fd >= 0 && !isReplaced)) return
  if (replacing.hasDiscarded)
    throw rejectJournal(database, caller, 'the copy of the database to which it belongs was discarded', COPY_BOTH)
  journal.expectCopied(isReplaced ? 'replacement' : 'database')
}

/** Whether SQLite would roll the database beside it back with the file. */
export function beginsAsJournal(files: Files, path: string): boolean {
  if (files.status(path)?.isFile() !== true) return false
  const beginning = new Uint8Array(JOURNAL_MAGIC_SIZE)
  return withFile(files, path, fs.constants.O_RDONLY, (fd) => {
    return files.read(fd, beginning, 0, beginning.length, 0) === beginning.length && hasJournalMagic(beginning)
  })
}

function assertMayBegin(database: Database, fd: number, caller: Caller): void {
  const { tracked, encryption, authority, journal, walMode, backfilled } = database
  if (!tracked || !authority.leads) return
  if (encryption === 'whole')
    throw rejectJournal(database, caller, 'an encrypted database can be replicated in WAL mode only', USE_WAL)
  // SQLite begins one when everything is in the file, to leave WAL mode. Rolling this one back would lose the rest.
  if (walMode && backfilled === undefined)
    throw rejectJournal(database, caller, 'the database is in WAL mode, and has transactions in its WAL', NOT_SQLITE)
  if (journal.isOther(fd))
    throw rejectJournal(database, caller, 'a transaction with another journal is under way', NOT_SQLITE)
}

/** The WAL is about to be written. Throws FsError while a journal protects the file: SQLite uses one of the two. */
export function assertNoJournal(database: Database, caller: Caller): void {
  if (!database.journal.active || !database.authority.leads) return
  const message =
    'a write to the WAL was rejected: the database has a rollback journal, with which the next connection would roll ' +
    'it back; nothing was committed. Close all connections to the database, and open it again'
  throw reject(database.events, 'EIO', message, { database: database.name }, caller)
}

const USE_WAL = 'Use journal_mode WAL'
const COPY_BOTH = 'Copy both again, the database first'
const NOT_SQLITE = 'Only SQLite may write the journal of a database'

function rejectJournal({ events, name }: Database, caller: Caller, problem: string, help: string): FsError {
  const message = `a rollback journal was rejected: ${problem}; nothing was changed. ${help}`
  return reject(events, 'EPERM', message, { database: name }, caller)
}
