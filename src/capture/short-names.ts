import type { FileContent } from '../fuse/content.ts'
import { hasJournalMagic } from '../sqlite/journal.ts'
import { hasWalMagic } from '../sqlite/wal.ts'
import type { GuardOptions } from './guarded-content.ts'
import { GuardedContent } from './guarded-content.ts'
import { rejectShortName } from './rejection.ts'

/**
 * With `8_3_names` SQLite replaces the extension of a database's name by that of the side file: `a.nal` is the journal
 * and `a.wal` the WAL of `a.db`. Source: sqlite3FileSuffix3.
 */
const SHORT_SIDE_FILE = /[^/]\.[nw]al$/

export function isShortSideName(path: string): boolean {
  return SHORT_SIDE_FILE.test(path)
}

/** Whether SQLite would give the side file `path` to a database of that name. */
export function sharesStem(path: string, database: string): boolean {
  const stem = path.slice(0, -'nal'.length)
  return database !== path && database.startsWith(stem) && !/[./]/.test(database.slice(stem.length))
}

/**
 * A file that works as `inner` does, but never begins as a journal or WAL of a database beside it: ltxd does not follow
 * one of such a name, so commits in it would be in no log. `database` finds a database beside it.
 */
export function guardedShortName(
  options: Omit<GuardOptions, 'isForbidden' | 'reject'>,
  inner: FileContent,
  database: () => string | undefined,
): FileContent {
  return new GuardedContent(inner, {
    ...options,
    isForbidden: (beginning) => (hasJournalMagic(beginning) || hasWalMagic(beginning)) && database() !== undefined,
    reject: (events, path, caller) => rejectShortName(events, path, caller, database() ?? ''),
  })
}
