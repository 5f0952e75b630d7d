/** SQLite itself, from whichever package can be loaded. ltxd needs it to check a restored database, nowhere else. */

import { statSync } from 'node:fs'
import { errorMessage } from '../../util/errors.ts'

export interface SqliteEngine {
  readonly name: string
  /** The rows of `PRAGMA integrity_check(limit)`. Throws what the engine throws; the file must exist. */
  integrityCheck(path: string, limit: number): string[]
  /** Whether SQLite itself reports a damaged database (SQLITE_CORRUPT, SQLITE_NOTADB), in whichever form. */
  isDamage(error: unknown): boolean
}

/** Throws where the engine cannot be loaded. */
export type LoadEngine = () => SqliteEngine | Promise<SqliteEngine>

/**
 * node:sqlite comes first: it needs no compiler, and better-sqlite3 12 can abort a process of Node.js 24.19 or later
 * when a closed database is collected. Node.js 20 has no node:sqlite.
 */
const LOADERS: readonly LoadEngine[] = [loadNodeSqlite, loadBetterSqlite]

/** The first engine that loads. Throws an error that names why each could not be loaded. */
export async function loadSqlite(loaders: readonly LoadEngine[] = LOADERS): Promise<SqliteEngine> {
  const reasons: string[] = []
  for (const load of loaders) {
    try {
      return await load()
    } catch (error) {
      // A native module's message goes on for pages: which files it looked for, how to build it.
      reasons.push(errorMessage(error).split('\n')[0] ?? '')
    }
  }
  throw new Error(reasons.join('; '))
}

/** SQLite's primary result codes. */
const SQLITE_CORRUPT = 11
const SQLITE_NOTADB = 26

/** What is used of node:sqlite; the types of Node.js 20 do not have it. */
interface NodeSqlite {
  readonly DatabaseSync: new (path: string) => {
    prepare(sql: string): { all(): Record<string, unknown>[] }
    close(): void
  }
}

export function loadNodeSqlite(): SqliteEngine {
  const module = withoutWarning('SQLite', () => process.getBuiltinModule('node:sqlite')) as NodeSqlite | undefined
  if (module === undefined) throw new Error(`Node.js ${process.versions.node} has no node:sqlite`)
  return {
    name: 'node:sqlite',
    integrityCheck(path, limit) {
      // It would create what is not there, and an empty database is sound.
      statSync(path)
      const database = new module.DatabaseSync(path)
      try {
        return findings(database.prepare(`PRAGMA integrity_check(${limit})`).all())
      } finally {
        database.close()
      }
    },
    isDamage(error) {
      if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return false
      const primary = error.errcode & 0xff
      return primary === SQLITE_CORRUPT || primary === SQLITE_NOTADB
    },
  }
}

export async function loadBetterSqlite(): Promise<SqliteEngine> {
  const { default: Database } = await import('better-sqlite3')
  // Its native part is loaded with the first database only.
  new Database(':memory:').close()
  return {
    name: 'better-sqlite3',
    integrityCheck(path, limit) {
      const database = new Database(path, { fileMustExist: true })
      try {
        return findings(database.pragma(`integrity_check(${limit})`) as Record<string, unknown>[])
      } finally {
        database.close()
      }
    },
    isDamage(error) {
      if (!(error instanceof Database.SqliteError)) return false
      return /^SQLITE_(CORRUPT|NOTADB)(_|$)/.test(error.code)
    },
  }
}

function findings(rows: readonly Record<string, unknown>[]): string[] {
  return rows.map((row) => String(row.integrity_check))
}

/** Runs `act` without the warning that this feature of Node.js is experimental. All other warnings come through. */
function withoutWarning<T>(feature: string, act: () => T): T {
  const emitWarning = Reflect.get(process, 'emitWarning') as (...args: unknown[]) => void
  process.emitWarning = (warning: string | Error, ...rest: unknown[]) => {
    const isExpected = rest[0] === 'ExperimentalWarning' && String(warning).startsWith(`${feature} is an experimental`)
    if (!isExpected) Reflect.apply(emitWarning, process, [warning, ...rest])
  }
  try {
    return act()
  } finally {
    process.emitWarning = emitWarning
  }
}
