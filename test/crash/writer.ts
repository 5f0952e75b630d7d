import { appendFileSync, openSync, writeSync } from 'node:fs'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import Database from 'better-sqlite3'
import { payloadOf, SCHEMA } from './ledger.ts'

/**
 * The application of the crash tests: commits numbered transactions and, after each COMMIT returned, appends the
 * number to a file outside of the mount. On an I/O error it closes, opens again, and goes on with the next number,
 * until SIGTERM. A report of corruption ends it with exit code 3. Several of them write to one database, each its own
 * numbers: every STEPth from FIRST. One that keeps the database for itself closes it now and then, for others to look.
 *
 *     crash-writer --db FILE --acks FILE --log FILE --mode JOURNAL-MODE --synchronous NORMAL|FULL \
 *       --page-size BYTES --locking NORMAL|EXCLUSIVE --first N --step N
 */

const RECONNECT_PAUSE_MS = 20
const COMMITS_A_TURN = 10
const SHARED_PAUSE_MS = 15
/** Few pages, so that a large transaction spills into the WAL or the file before it commits. */
const CACHE_PAGES = 24
const LARGE_EVERY = 40
const ROLLBACK_EVERY = 7
const CHURN_KEPT = 100
/** Transactions of one exclusive connection, and how long the database is free after it. */
const EXCLUSIVE_COMMITS = 120
const EXCLUSIVE_PAUSE_MS = 150

const { values } = parseArgs({
  options: {
    db: { type: 'string' },
    acks: { type: 'string' },
    log: { type: 'string' },
    mode: { type: 'string' },
    synchronous: { type: 'string' },
    'page-size': { type: 'string' },
    locking: { type: 'string' },
    first: { type: 'string' },
    step: { type: 'string' },
  },
})
const { db: path = '', acks = '', log = '', mode = '', synchronous = '', locking = 'NORMAL' } = values
const first = Number(values.first ?? 1)
const step = Number(values.step ?? 1)

let stopped = false
process.once('SIGTERM', () => {
  stopped = true
})

const acknowledgements = openSync(acks, 'a')
/** How many numbers were tried. One whose outcome is unknown is never tried again. */
let tried = 0
/**
 * The database was made: from now on it must exist, or it would be created below a mount that is not there at the
 * moment.
 */
let made = false

await main()

async function main(): Promise<void> {
  while (!stopped) {
    let connection: Database.Database | undefined
    try {
      connection = open()
      await write(connection, locking === 'EXCLUSIVE' ? EXCLUSIVE_COMMITS : Infinity)
      connection.close()
      if (locking === 'EXCLUSIVE') await sleep(EXCLUSIVE_PAUSE_MS)
    } catch (error) {
      note(error)
      if (!isRetriable(error)) process.exit(3)
      await sleep(RECONNECT_PAUSE_MS)
    } finally {
      close(connection)
    }
  }
}

function open(): Database.Database {
  const connection = new Database(path, { timeout: 60_000, fileMustExist: made })
  try {
    connection.pragma(`locking_mode = ${locking}`)
    if (!made) connection.pragma(`page_size = ${values['page-size']}`)
    connection.pragma(`journal_mode = ${mode}`)
    connection.pragma(`synchronous = ${synchronous}`)
    connection.pragma(`cache_size = ${CACHE_PAGES}`)
    if (!made) connection.exec(SCHEMA)
    made = true
    return connection
  } catch (error) {
    close(connection)
    throw error
  }
}

/** Transactions until `atMost` of them were tried, or SIGTERM. */
async function write(connection: Database.Database, atMost: number): Promise<void> {
  const entry = connection.prepare('INSERT INTO entry VALUES (?, ?)')
  const tally = connection.prepare('UPDATE tally SET entries = entries + 1, last = max(last, ?)')
  const churn = connection.prepare('INSERT INTO churn VALUES (?, ?)')
  const shrink = connection.prepare('DELETE FROM churn WHERE n < ?')
  const begin = connection.prepare('BEGIN IMMEDIATE')
  const commit = connection.prepare('COMMIT')
  const rollback = connection.prepare('ROLLBACK')

  const change = (n: number) => {
    entry.run(n, payloadOf(n))
    tally.run(n)
    const large = n % LARGE_EVERY === 0
    for (let i = 0; i < (large ? 60 : 1); i++) churn.run(n, Buffer.alloc(large ? 3_000 : 200, n))
    if (large) shrink.run(n - CHURN_KEPT)
  }

  const end = tried + atMost
  while (!stopped && tried < end) {
    for (let i = 0; i < COMMITS_A_TURN && !stopped; i++) {
      const n = first + step * tried++
      if (n % ROLLBACK_EVERY === 0) {
        begin.run()
        change(n)
        rollback.run()
        continue
      }
      begin.run()
      change(n)
      commit.run()
      writeSync(acknowledgements, `${n}\n`)
    }
    // SQLite's locks know no queue: without a pause one writer keeps the others out for seconds
    await (step > 1 ? sleep(SHARED_PAUSE_MS) : turn())
  }
}

/** What a node that is away looks like to SQLite; anything else, corruption above all, is a finding. */
function isRetriable(error: unknown): boolean {
  // better-sqlite3 looks for the directory first, and a dead mount has none
  if (error instanceof TypeError && error.message.includes('directory does not exist')) return true
  return (
    error instanceof Database.SqliteError && /^SQLITE_(IOERR|CANTOPEN|READONLY|BUSY|PROTOCOL|FULL)/.test(error.code)
  )
}

function note(error: unknown): void {
  const text = error instanceof Database.SqliteError ? `${error.code}: ${error.message}` : String(error)
  appendFileSync(log, `${new Date().toISOString()} after ${tried}: ${text}\n`)
}

/** Closing on a dead mount reports what is already known. */
function close(connection: Database.Database | undefined): void {
  try {
    connection?.close()
  } catch (error) {
    note(error)
  }
}
