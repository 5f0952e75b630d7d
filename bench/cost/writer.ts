/**
 * An application in a process of its own: `DIRECTORY COUNT RATE` makes databases, prints a line, and commits one row at
 * a time, RATE a second to each database, until it is ended.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'

const [directory = '', count = '1', rate = '0'] = process.argv.slice(2)

const databases = Array.from({ length: Number(count) }, (_, i) => {
  const db = new Database(`${directory}/db${i}.db`, { timeout: 30_000 })
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = NORMAL')
  db.exec('CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, data BLOB)')
  const insert = db.prepare('INSERT INTO t (data) VALUES (randomblob(100))')
  insert.run()
  return insert
})
console.log('ready')

const everyMs = 1000 / (Number(rate) * databases.length)
const beginMs = performance.now()
for (let done = 0; ; done++) {
  const dueMs = everyMs === Infinity ? Infinity : beginMs + done * everyMs
  const waitMs = Math.min(dueMs - performance.now(), 1000)
  if (waitMs > 0) {
    await sleep(waitMs)
    if (performance.now() < dueMs) {
      done--
      continue
    }
  }
  databases[done % databases.length]?.run()
}
