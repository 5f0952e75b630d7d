import { appendFileSync, openSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import Database from 'better-sqlite3'
import { payloadOf, SCHEMA } from '../crash/ledger.ts'
import type { FromWriter, ToWriter } from './messages.ts'

/**
 * The application of the cluster tests: one process beside each node. It writes to the databases while its node leads,
 * and otherwise retries. After each successful COMMIT it appends a line to its ledger outside the mount:
 * `DATABASE NUMBER BEGAN ENDED`. BEGAN and ENDED are the times of the COMMIT in nanoseconds, on the clock that all
 * processes share. Before each ROLLBACK it appends `-DATABASE NUMBER`. Numbers ascend over all writers of a test. On
 * 'pause' it ends its transaction and closes all connections.
 *
 *     cluster-writer --directory MOUNT --ledger FILE --log FILE --index 0..7 NAME:MODE:SYNCHRONOUS …
 */

const PAUSE_MS = 4
const ROLLBACK_EVERY = 11
const LARGE_EVERY = 50
const CHURN_KEPT = 200
/** So few pages that a large transaction spills before it commits. */
const CACHE_PAGES = 24
const WRITERS = 8n

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    directory: { type: 'string' },
    ledger: { type: 'string' },
    log: { type: 'string' },
    index: { type: 'string' },
  },
})
const { directory = '', ledger: ledgerFile = '', log = '', index = '0' } = values
const ledger = openSync(ledgerFile, 'a')

let paused = true
let stopped = false
let quiet: (() => void) | undefined

process.on('message', (message: ToWriter) => {
  if (message === 'pause') {
    paused = true
    quiet = () => process.send?.('paused' satisfies FromWriter)
  }
  if (message === 'resume') {
    paused = false
    quiet = undefined
  }
})
process.on('disconnect', () => (stopped = true))

class Target {
  readonly name: string
  readonly #mode: string
  readonly #synchronous: string
  #connection: Database.Database | undefined
  #count = 0
  #noted = ''

  constructor(spec: string) {
    const [name = '', mode = '', synchronous = ''] = spec.split(':')
    this.name = name
    this.#mode = mode
    this.#synchronous = synchronous
  }

  write(): void {
    try {
      this.#transaction(this.#open())
    } catch (error) {
      this.close()
      this.#note(error)
      if (!isRetriable(error)) process.exit(3)
    }
  }

  close(): void {
    try {
      this.#connection?.close()
    } catch (error) {
      this.#note(error)
    }
    this.#connection = undefined
  }

  /** Never creates the file: without a mount it would land below the mount point. */
  #open(): Database.Database {
    if (this.#connection !== undefined) return this.#connection
    const connection = new Database(`${directory}/${this.name}`, { timeout: 0, fileMustExist: true })
    this.#connection = connection
    connection.pragma(`synchronous = ${this.#synchronous}`)
    connection.pragma(`cache_size = ${CACHE_PAGES}`)
    if (this.#mode !== 'WAL') connection.pragma(`journal_mode = ${this.#mode}`)
    return connection
  }

  #transaction(connection: Database.Database): void {
    connection.exec('BEGIN IMMEDIATE')
    try {
      const n = (process.hrtime.bigint() / 1_000n) * WRITERS + BigInt(index)
      this.#change(connection, Number(n))
      if (++this.#count % ROLLBACK_EVERY === 0) return void writeSync(ledger, `-${this.name} ${n}\n`)
      const began = process.hrtime.bigint()
      connection.exec('COMMIT')
      writeSync(ledger, `${this.name} ${n} ${began} ${process.hrtime.bigint()}\n`)
    } finally {
      if (connection.inTransaction) connection.exec('ROLLBACK')
    }
  }

  #change(connection: Database.Database, n: number): void {
    const large = this.#count % LARGE_EVERY === 0
    connection.prepare('INSERT INTO entry VALUES (?, ?)').run(n, payloadOf(n))
    connection.prepare('UPDATE tally SET entries = entries + 1, last = ?').run(n)
    const churn = connection.prepare('INSERT INTO churn VALUES (?, ?)')
    for (let i = 0; i < (large ? 60 : 1); i++) churn.run(n, Buffer.alloc(large ? 3_000 : 200, n & 255))
    if (large)
      connection.exec(`DELETE FROM churn WHERE n < (SELECT n FROM entry ORDER BY n DESC LIMIT 1 OFFSET ${CHURN_KEPT})`)
  }

  /** Logs an error once, until another one follows. */
  #note(error: unknown): void {
    const text = error instanceof Database.SqliteError ? `${error.code}: ${error.message}` : String(error)
    if (text !== this.#noted) appendFileSync(log, `${new Date().toISOString()} ${this.name}: ${text}\n`)
    this.#noted = text
  }
}

/**
 * The errors that SQLite reports on a node that does not lead or is down. Any other error, above all corruption, is a
 * finding.
 */
function isRetriable(error: unknown): boolean {
  if (error instanceof TypeError && error.message.includes('directory does not exist')) return true
  if (!(error instanceof Database.SqliteError)) return false
  // On a replica a database is empty from its creation until its first transaction.
  if (error.code === 'SQLITE_ERROR' && error.message.includes('no such table')) return true
  return /^SQLITE_(IOERR|CANTOPEN|READONLY|BUSY|PROTOCOL|FULL)/.test(error.code)
}

async function main(): Promise<void> {
  const targets = positionals.map((spec) => new Target(spec))
  while (!stopped) {
    if (paused) for (const target of targets) target.close()
    else for (const target of targets) target.write()
    quiet?.()
    quiet = undefined
    await sleep(PAUSE_MS)
  }
  for (const target of targets) target.close()
}

/** Creates the databases of a new cluster on its leader. */
function create(): void {
  for (const spec of positionals) {
    const [name = '', mode = ''] = spec.split(':')
    const connection = new Database(`${directory}/${name}`)
    connection.pragma(`journal_mode = ${mode}`)
    connection.exec(SCHEMA)
    connection.close()
  }
}

if (process.env['CREATE'] === undefined) await main()
else create()
