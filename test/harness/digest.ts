import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import Database from 'better-sqlite3'

type Row = readonly unknown[]

/** A short digest of a database's content as applications see it. */
export function digest(query: (sql: string) => Row[]): string {
  const schema = query('SELECT name, sql FROM sqlite_schema ORDER BY name')
  const hash = createHash('sha256').update(JSON.stringify(schema))
  for (const [name] of query("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")) {
    hash.update(JSON.stringify(query(`SELECT rowid, * FROM "${String(name)}" ORDER BY rowid`)))
  }
  return hash.digest('hex').slice(0, 16)
}
/** The digest of a database file through stock SQLite, after an integrity check. EMPTY if there is no file. */
export function digestOfFile(path: string): string {
  if (!fs.existsSync(path) || fs.statSync(path).size === 0) return EMPTY
  const connection = new Database(path)
  try {
    assert.deepEqual(connection.pragma('integrity_check'), [{ integrity_check: 'ok' }])
    return digest((sql) => connection.prepare(sql).raw().all() as Row[])
  } finally {
    connection.close()
  }
}

export const EMPTY = digest(() => [])
