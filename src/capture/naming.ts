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

/** A component of a path longer than this cannot also carry the suffix of its log's directory. */
const MAX_COMPONENT_BYTES = 240

/** Any file that is not beside a database may itself be one. */
export function classify(path: string): FileName {
  for (const [suffix, kind] of SUFFIXES) {
    if (path.endsWith(suffix) && path.length > suffix.length) return { kind, database: path.slice(0, -suffix.length) }
  }
  const match = SUPER_JOURNAL.exec(path)
  if (match !== null) return { kind: 'super-journal', database: path.slice(0, match.index) }
  return { kind: 'database', database: path }
}

/** Why this path can't be a replicated database, or undefined if it can: its name must travel to logs and backups unharmed. */
export function nameProblem(path: string): string | undefined {
  for (const component of path.split('/')) {
    if (Buffer.byteLength(component) > MAX_COMPONENT_BYTES)
      return `a part of its name is longer than ${MAX_COMPONENT_BYTES} bytes`
    // eslint-disable-next-line no-control-regex
    if (/[\x00-\x1f\x7f]/.test(component)) return 'its name contains a control character'
  }
  return undefined
}
