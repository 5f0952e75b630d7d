/**
 * An application with many databases, in a process of its own: `create DIRECTORY COUNT` makes them, `write FILE` writes
 * to one as soon as that is possible. Prints the wall clock's time of the end, in milliseconds.
 */

import { setTimeout as delay } from 'node:timers/promises'
import Database from 'better-sqlite3'

const RETRY_MS = 5

const [command, place = '', count = '0'] = process.argv.slice(2)

function create(path: string): void {
  const db = new Database(path, { timeout: 30_000 })
  db.pragma('journal_mode = WAL')
  db.exec('CREATE TABLE t(x); INSERT INTO t VALUES (1)')
  db.close()
}

async function write(path: string): Promise<void> {
  for (;;) {
    try {
      const db = new Database(path, { timeout: 100 })
      db.exec('INSERT INTO t VALUES (2)')
      db.close()
      return
    } catch (error) {
      if (!(error instanceof Database.SqliteError)) throw error
      await delay(RETRY_MS)
    }
  }
}

if (command === 'create') for (let i = 0; i < Number(count); i++) create(`${place}/many-${i}.db`)
else await write(place)
console.log(Date.now())
