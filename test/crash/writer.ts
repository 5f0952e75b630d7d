import { appendFileSync, openSync, writeSync } from 'node:fs'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import Database from 'better-sqlite3'
import { payloadOf, SCHEMA } from './ledger.ts'

/**
 * The application of the crash tests: commits numbered transactions and, after each COMMIT returned, appends the
 * number to a file outside of the mount. On an I/O error it closes, opens again, and goes on with the next number,
 * until SIGTERM. A report of corruption ends it with exit code 3.
 *
 *     node --import tsx writer.ts --db FILE --acks FILE --log FILE --mode JOURNAL-MODE --synchronous NORMAL|FULL
 */

const RECONNECT_PAUSE_MS = 20
const COMMITS_A_TURN = 10
/** Few pages, so that a large transaction spills into the WAL or the file before it commits. */
const CACHE_PAGES = 24
const LARGE_EVERY = 40
const ROLLBACK_EVERY = 7
const CHURN_KEPT = 100

const { values } = parseArgs({
  options: {
    db: { type: 'string' },
    acks: { type: 'string' },
    log: { type: 'string' },
    mode: { type: 'string' },
    synchronous: { type: 'string' },
  },
})
const { db: path = '', acks = '', log = '', mode = '', synchronous = '' } = values

let stopped = false
process.once('SIGTERM', () => {
  stopped = true
})

const acknowledgements = openSync(acks, 'a')
/** The next number to try. One whose outcome is unknown is never tried again. */
let next = 1

await main()

async function main(): Promise<void> {
  open(false).close()
  while (!stopped) {
    let connection: Database.Database | undefined
    try {
      connection = open(true)
      await writeUntilStopped(connection)
    } catch (error) {
      note(error)
      if (!isRetriable(error)) process.exit(3)
      await sleep(RECONNECT_PAUSE_MS)
    } finally {
      close(connection)
    }
  }
}

/** `mustExist`: never create the file, or it would land below a mount that is not there at the moment. */
function open(mustExist: boolean): Database.Database {
  const connection = new Database(path, { timeout: 10_000, fileMustExist: mustExist })
  try {
    connection.pragma(`journal_mode = ${mode}`)
    connection.pragma(`synchronous = ${synchronous}`)
    connection.pragma(`cache_size = ${CACHE_PAGES}`)
    if (!mustExist) connection.exec(SCHEMA)
    return connection
  } catch (error) {
    close(connection)
    throw error
  }
}

async function writeUntilStopped(connection: Database.Database): Promise<void> {
  const entry = connection.prepare('INSERT INTO entry VALUES (?, ?)')
  const tally = connection.prepare('UPDATE tally SET entries = entries + 1, last = ?')
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

  while (!stopped) {
    for (let i = 0; i < COMMITS_A_TURN && !stopped; i++) {
      const n = next++
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
    await turn()
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
  appendFileSync(log, `${new Date().toISOString()} after ${next - 1}: ${text}\n`)
}

/** Closing on a dead mount reports what is already known. */
function close(connection: Database.Database | undefined): void {
  try {
    connection?.close()
  } catch (error) {
    note(error)
  }
}
