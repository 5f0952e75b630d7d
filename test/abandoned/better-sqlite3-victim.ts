import { rmSync, writeFileSync } from 'node:fs'
import Database from 'better-sqlite3'
import type { VictimOrder } from './victims.ts'

/** The transaction of victims.py, run with better-sqlite3's SQLite. The environment loads the interposer. */
const { database, pragmas, window, env } = JSON.parse(process.argv[2] ?? '') as VictimOrder
const armed = env.INTERPOSER_ARMED
const arm = () => {
  writeFileSync(armed, '')
}

const connection = new Database(database, { timeout: 60_000 })
for (const pragma of pragmas) connection.pragma(pragma)
let said = 'committed'
try {
  if (window === 'transaction') arm()
  connection.exec('BEGIN IMMEDIATE')
  connection.exec('INSERT INTO entry VALUES (100, randomblob(600))')
  connection.exec('UPDATE entry SET filler = randomblob(700) WHERE n <= 12')
  connection.exec('UPDATE tally SET entries = entries + 1')
  if (window === 'commit') arm()
  connection.exec('COMMIT')
} catch (error) {
  said = `error: ${String(error)}`
} finally {
  rmSync(armed)
}
process.stdout.write(said)
try {
  connection.close()
} catch {
  // The error was already printed.
}
