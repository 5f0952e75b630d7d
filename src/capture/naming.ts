/**
 * Maps a file's name to its database. Source: SQLite's os_unix.c and pager.c (names of journals and super-journals).
 */

import { databaseNameProblem } from '../log/database-name.ts'

export type FileKind = 'database' | 'wal' | 'journal' | 'shm' | 'super-journal'

export interface FileName {
  readonly kind: FileKind
  /** The database's name: the file's path relative to the mount, without the suffix. */
  readonly database: string
}

const SUFFIXES: readonly (readonly [string, FileKind])[] = [
  ['-wal', 'wal'],
  ['-journal', 'journal'],
  ['-shm', 'shm'],
]

const SUPER_JOURNAL = /-mj[0-9A-F]{6}9[0-9A-F]{2}$/

/** A file without one of SQLite's suffixes may itself be a database. */
export function classify(path: string): FileName {
  for (const [suffix, kind] of SUFFIXES) {
    if (path.endsWith(suffix) && path.length > suffix.length) return { kind, database: path.slice(0, -suffix.length) }
  }
  const match = SUPER_JOURNAL.exec(path)
  if (match !== null) return { kind: 'super-journal', database: path.slice(0, match.index) }
  return { kind: 'database', database: path }
}

/** Why the file at `path` is neither a database nor beside one; undefined if its name allows that. */
export function nameProblem(path: string): string | undefined {
  return databaseNameProblem(classify(path).database) ?? databaseNameProblem(path)
}
