/**
 * Reads a database at full speed through a connection that stays open. Each transaction checks that the counter never
 * goes back and that the sum matches the counter; otherwise the process exits with 1. Usage: apply-reader.ts DATABASE.
 * Commands on stdin: `state` prints the counter, `check` the result of integrity_check, `hold` begins a read
 * transaction that `release` ends, and `write` tries to write.
 */

import { createInterface } from 'node:readline'
import Database from 'better-sqlite3'

const database = new Database(process.argv[2], { timeout: 0 })
const state = database.prepare('SELECT n, (SELECT total(v) FROM t) AS sum, expected FROM counter')
let last = -1
let held = false

function read(): number {
  for (;;) {
    try {
      const { n, sum, expected } = state.get() as { n: number; sum: number; expected: number }
      if (n < last) fail(`an older state after a newer one: ${n} after ${last}`)
      if (sum !== expected) fail(`a torn state: at ${n} the sum is ${sum}, not ${expected}`)
      last = n
      return n
    } catch (error) {
      // In rollback mode a reader has to wait while the file is written.
      if ((error as { code?: string }).code !== 'SQLITE_BUSY') throw error
    }
  }
}

function fail(problem: string): never {
  console.log(problem)
  process.exit(1)
}

function write(): string {
  try {
    database.exec('BEGIN IMMEDIATE; ROLLBACK')
    return 'written'
  } catch (error) {
    return (error as { code: string }).code
  }
}

const COMMANDS: Readonly<Record<string, () => string>> = {
  state: () => String(read()),
  check: () => String(database.pragma('integrity_check', { simple: true })),
  hold: () => {
    database.exec('BEGIN')
    held = true
    return String(read())
  },
  release: () => {
    database.exec('COMMIT')
    held = false
    return 'released'
  },
  write,
}

function spin(): void {
  if (!held) for (let i = 0; i < 20; i++) read()
  timer = setImmediate(spin)
}

console.log(read())
let timer = setImmediate(spin)
createInterface({ input: process.stdin })
  .on('line', (line) => console.log(COMMANDS[line]?.()))
  .on('close', () => {
    clearImmediate(timer)
    database.close()
  })
