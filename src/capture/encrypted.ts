import type { Database } from './database.ts'

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
