import type { SqlClient } from './sql-client.ts'

/** Creates rows that all have the same number, as watcher.ts expects them. */
export async function createWatched(application: SqlClient, mode: string): Promise<void> {
  await application.exec(`PRAGMA journal_mode = ${mode}`)
  await application.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, filler BLOB)')
  await application.exec(
    'INSERT INTO t SELECT value, 0, randomblob(400) FROM (WITH RECURSIVE c(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM c LIMIT 40) SELECT value FROM c)',
  )
}
