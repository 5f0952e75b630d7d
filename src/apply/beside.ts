/** What there is under the names of the files that SQLite has beside a database. */

import fs from 'node:fs'
import { hasJournalMagic, JOURNAL_MAGIC_SIZE } from '../sqlite/journal.ts'
import { errorCode } from '../util/errors.ts'
import { type Files, nodeFiles, readerOf, withFile } from '../util/files.ts'
import { NotRegularError } from '../util/files-beneath.ts'

/** The files that SQLite has beside a database. */
export const SIDE_SUFFIXES = ['-wal', '-shm', '-journal'] as const
export type SideSuffix = (typeof SIDE_SUFFIXES)[number]

/** A database's file. `files` opens those beside it. */
interface MainFile {
  readonly path: string
  readonly files: Files
  header(): { readonly journalMode: string } | undefined
}

/** Throws NotRegularError where no file has that name, as a directory or a pipe of another user. */
export function statusBeside({ path, files }: MainFile, suffix: SideSuffix): fs.Stats | undefined {
  const status = files.status(path + suffix)
  if (status?.isFile() === false) throw new NotRegularError(path + suffix, status)
  return status
}

/**
 * SQLite opens a WAL that is not empty, whatever page 1 says; and one of any size where a connection keeps it open.
 * Throws NotRegularError.
 */
export function hasWal(file: MainFile, which: 'not empty' | 'of any size' = 'not empty'): boolean {
  const status = statusBeside(file, '-wal')
  return status !== undefined && (status.size > 0 || which === 'of any size')
}

/**
 * Whether SQLite may roll the file under the name of the journal back into the database: it begins as a journal does,
 * and the database is in rollback mode. In WAL mode that is only the journal of the change into it, and of a copy of a
 * whole database, whose checksum would tell. A journal that this process may not read is taken for one.
 */
export function hasHotJournal(file: MainFile): boolean {
  if (file.header()?.journalMode === 'wal') return false
  try {
    return withFile(file.files, `${file.path}-journal`, fs.constants.O_RDONLY, (fd) =>
      hasJournalMagic(readerOf(nodeFiles, fd)(0, JOURNAL_MAGIC_SIZE)),
    )
  } catch (error) {
    if (errorCode(error) !== 'EACCES') throw error
    return true
  }
}
