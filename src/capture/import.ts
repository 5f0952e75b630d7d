import type { Database } from './database.ts'
import { beginsAsJournal } from './journal-rules.ts'
import { servedAsPlain } from './unreplicated.ts'

/** Imports a whole database; else it stays a plain file, which is logged. One `isKnown` may end in its last page. */
export function importIfWhole(database: Database, isKnown = false): boolean {
  const check = database.file.check()
  if (check.whole || isKnown) database.importFile()
  else servedAsPlain(database, check)
  return check.whole || isKnown
}

/**
 * A file that is in no log yet has been written: imports it if it is a whole database, as `isKnown` says it is, with
 * the WAL beside it. If a journal lies beside it that was copied in, it is captured when SQLite has rolled it back.
 */
export function importCopied(database: Database, isKnown = false): void {
  if (!awaitsRollback(database) && importIfWhole(database, isKnown)) database.copied.adoptWal()
}

function awaitsRollback(database: Database): boolean {
  const { files, path, journal, authority, events, name, unreplicated } = database
  if (!journal.active) {
    if (!authority.leads || !beginsAsJournal(files, `${path}-journal`)) return false
    journal.expectCopied('database')
    journal.begin(-1)
  }
  if (!journal.isCopied || unreplicated?.has(name) !== false || database.fileState() === undefined) return true
  unreplicated.add(name)
  const message =
    'a database was copied in with a journal: it is captured when SQLite has opened it, and rolled it back'
  events.log('warn', message, { database: name })
  return true
}
