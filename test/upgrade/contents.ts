/** The contents of a database in a form that can be compared. */

import { createHash } from 'node:crypto'
import Database from 'better-sqlite3'
import type { Contents } from './fixture.ts'

/** Hashes all rows of all tables. Runs `sql` first, if it is not empty. */
export function contentsOf(path: string, sql = ''): Contents {
  const database = new Database(path, { fileMustExist: true, timeout: 10_000, readonly: sql === '' })
  try {
    if (sql !== '') database.exec(sql)
    const hash = createHash('sha256')
    let rows = 0
    const tables = database.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'table' ORDER BY name").raw()
    for (const [name, definition] of tables.all() as [string, string][]) {
      hash.update(JSON.stringify([name, definition]))
      for (const row of database.prepare(`SELECT * FROM "${name}" ORDER BY 1`).raw().iterate()) {
        hash.update(JSON.stringify(row))
        rows++
      }
    }
    return { rows, sha256: hash.digest('hex') }
  } finally {
    database.close()
  }
}
