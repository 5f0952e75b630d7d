import { appendFileSync, openSync, writeSync } from 'node:fs'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import Database from 'better-sqlite3'
import { payloadOf, SCHEMA } from './ledger.ts'

/**
 * The application of the crash tests. It commits numbered transactions and, after each COMMIT that succeeded, appends
 * the number to a file outside the mount. After an I/O error it reconnects and continues with the next number, until
 * SIGTERM. Reported corruption ends it with exit code 3. Several writers of one database use numbers of their own:
 * every STEPth from FIRST. An exclusive writer closes the database now and then, so that checks can read it.
 *
 *     crash-writer --db FILE --acks FILE --log FILE --mode JOURNAL-MODE --synchronous NORMAL|FULL \
 *       --page-size BYTES --locking NORMAL|EXCLUSIVE --first N --step N
 */

const RECONNECT_PAUSE_MS = 20
const COMMITS_A_TURN = 10
const SHARED_PAUSE_MS = 15
/** So few pages that a large transaction spills into the WAL or the file before it commits. */
const CACHE_PAGES = 24
const LARGE_EVERY = 40
const ROLLBACK_EVERY = 7
const CHURN_KEPT = 100
/** The transactions of one exclusive connection, and the time for which the database is free after it. */
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
/** The count of numbers tried. A number whose outcome is unknown is never tried again. */
let tried = 0
/** The database was created. From now on it must exist: SQLite would otherwise create it below a missing mount. */
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

/** Commits until `atMost` numbers have been tried, or until SIGTERM. */
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
    // SQLite's locks have no queue. Without a pause, one writer would block the others for seconds.
    await (step > 1 ? sleep(SHARED_PAUSE_MS) : turn())
  }
}

/**
 * Whether the error is one that SQLite reports while the node is down. Any other, above all corruption, is a finding.
 */
function isRetriable(error: unknown): boolean {
  // better-sqlite3 first looks for the directory, which a dead mount does not have.
  if (error instanceof TypeError && error.message.includes('directory does not exist')) return true
  return (
    error instanceof Database.SqliteError && /^SQLITE_(IOERR|CANTOPEN|READONLY|BUSY|PROTOCOL|FULL)/.test(error.code)
  )
}

function note(error: unknown): void {
  const text = error instanceof Database.SqliteError ? `${error.code}: ${error.message}` : String(error)
  appendFileSync(log, `${new Date().toISOString()} after ${tried}: ${text}\n`)
}

/** Closes the connection. On a dead mount this fails, which is no news. */
function close(connection: Database.Database | undefined): void {
  try {
    connection?.close()
  } catch (error) {
    note(error)
  }
}
