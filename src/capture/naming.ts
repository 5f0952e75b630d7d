/** Which file belongs to which database. Source: SQLite's os_unix.c, pager.c (names of journals and super-journals). */

export type FileKind = 'database' | 'wal' | 'journal' | 'shm' | 'super-journal'

export interface FileName {
  readonly kind: FileKind
  /** The database's name: the path relative to the mount, without the file's suffix. */
  readonly database: string
}

const SUFFIXES: readonly (readonly [string, FileKind])[] = [
  ['-wal', 'wal'],
  ['-journal', 'journal'],
  ['-shm', 'shm'],
]

const SUPER_JOURNAL = /-mj[0-9A-F]{6}9[0-9A-F]{2}$/

/** Any file that is not beside a database may itself be one. */
export function classify(path: string): FileName {
  for (const [suffix, kind] of SUFFIXES) {
    if (path.endsWith(suffix) && path.length > suffix.length) return { kind, database: path.slice(0, -suffix.length) }
  }
  const match = SUPER_JOURNAL.exec(path)
  if (match !== null) return { kind: 'super-journal', database: path.slice(0, match.index) }
  return { kind: 'database', database: path }
}
