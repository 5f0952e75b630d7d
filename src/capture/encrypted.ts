import type { Caller } from '../fuse/content.ts'
import type { Database } from './database.ts'
import { rejectEncryptedJournal } from './rejection.ts'

/**
 * A database whose first page cannot be read (SQLCipher, SEE, SQLite3MC) begins its history when it has a WAL, whose
 * header tells the page size and whose commits tell the size. Everything is in the file then: the WAL is new, or is
 * captured next. False if the file cannot be such a database, or must not be imported now. Throws FsError.
 */
export function importEncrypted(database: Database, pageSize: number): boolean {
  const { tracked, authority, journal, file } = database
  if (tracked || !authority.leads || journal.active || !file.assumeEncrypted(pageSize)) return false
  try {
    database.importFile()
  } catch (error) {
    file.encryptedPageSize = 0
    throw error
  }
  database.events.log('info', 'an encrypted database is replicated from now on', { database: database.name })
  return true
}

/** A journal is about to begin. Throws FsError if the database is encrypted, so that nothing tells what it commits. */
export function assertJournalFollowable(database: Database, caller: Caller): void {
  const { tracked, encryption, authority, events, name } = database
  if (tracked && encryption === 'whole' && authority.leads) throw rejectEncryptedJournal(events, name, caller)
}
