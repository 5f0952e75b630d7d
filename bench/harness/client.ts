import { join } from 'node:path'
import Database from 'better-sqlite3'
import { percentile } from './percentiles.ts'
import { begin, flood, stamp, watch } from './stamps.ts'
import { ACCOUNTS, type Answer, type Command, type DatabaseSetup, type Sample, type Workload } from './workload.ts'

/**
 * The measured application: stock better-sqlite3 in a process of its own, with commands over IPC. It is the same
 * program on a native file and on the mount, and does as little as possible beside SQLite: work of its own on both
 * sides would make the mount look better than it is.
 */

/**
 * More commits than the fastest native run makes in the longest usual measurement. Latencies beyond are not recorded.
 */
const MAX_LATENCIES = 5_000_000
const READS_PER_CLOCK_LOOK = 64
/** Three of these rows fill a page of 4 KiB. */
const FILLING_ROW_BYTES = 1365
const FILLING_TRANSACTION = 20_000

let db: Database.Database | undefined
const latenciesUs = new Float64Array(MAX_LATENCIES)

process.on('message', (command: Command) => {
  let answer: Answer
  try {
    const sample = perform(command)
    answer = sample === undefined ? { ok: true } : { ok: true, sample }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    answer = error instanceof Database.SqliteError ? { ok: false, sqlite: error.code, message } : { ok: false, message }
  }
  process.send?.(answer)
})

// The parent is gone or finished, and this process ends with it.
process.on('disconnect', () => process.exit())

function perform(command: Command): Sample | undefined {
  switch (command.do) {
    case 'create':
      db = open(command.database)
      fill(db)
      return undefined
    case 'open':
      db = open(command.database)
      return undefined
    case 'measure':
      if (db === undefined) throw new Error('no database is open')
      return measure(db, command.workload, command.seconds)
    case 'check':
      if (db === undefined) throw new Error('no database is open')
      check(db)
      return undefined
    case 'nothing':
      return undefined
    case 'close':
      db?.close()
      db = undefined
      return undefined
  }
}

function open(setup: DatabaseSetup): Database.Database {
  const connection = new Database(setup.path, { timeout: 5_000 })
  const mode: unknown = connection.pragma(`journal_mode = ${setup.journalMode}`, { simple: true })
  if (mode !== setup.journalMode.toLowerCase()) {
    throw new Error(`${setup.path}: journal mode is ${String(mode)}, not ${setup.journalMode}`)
  }
  connection.pragma(`synchronous = ${setup.synchronous}`)
  return connection
}

function fill(connection: Database.Database): void {
  connection.exec('CREATE TABLE stamp (id INTEGER PRIMARY KEY, at INTEGER NOT NULL)')
  connection.exec('CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, note TEXT NOT NULL)')
  const insert = connection.prepare('INSERT INTO account (balance, note) VALUES (?, ?)')
  connection.transaction(() => {
    for (let i = 0; i < ACCOUNTS; i++) insert.run(i, 'n'.repeat(100))
  })()
}

function measure(connection: Database.Database, workload: Workload, seconds: number): Sample {
  switch (workload.kind) {
    case 'update':
      return updates(connection, seconds)
    case 'read':
      return reads(connection, seconds)
    case 'bulk':
      return bulk(connection, workload.rows)
    case 'fill':
      return fillMegabytes(connection, workload.megabytes)
    case 'populate':
      return populate(workload)
    case 'stamp':
      return stamp(connection, workload)
    case 'watch':
      return watch(connection, workload.count, seconds)
    case 'begin':
      return begin(connection, seconds)
    case 'flood':
      return flood(connection, seconds)
  }
}

function updates(connection: Database.Database, seconds: number): Sample {
  const update = connection.prepare('UPDATE account SET balance = balance + 1 WHERE id = ?')
  const start = performance.now()
  const end = start + seconds * 1000
  let operations = 0
  let before = start
  while (before < end) {
    update.run(randomAccount())
    const after = performance.now()
    if (operations < MAX_LATENCIES) latenciesUs[operations] = (after - before) * 1000
    operations++
    before = after
  }
  const sorted = latenciesUs.subarray(0, Math.min(operations, MAX_LATENCIES)).sort()
  return {
    operations,
    seconds: (before - start) / 1000,
    p50Us: percentile(sorted, 0.5),
    p99Us: percentile(sorted, 0.99),
  }
}

/** Reads the clock only once in many reads, because a native read takes hardly longer than that. */
function reads(connection: Database.Database, seconds: number): Sample {
  const read = connection.prepare('SELECT balance FROM account WHERE id = ?').pluck()
  const start = performance.now()
  const end = start + seconds * 1000
  let operations = 0
  let now = start
  while (now < end) {
    for (let i = 0; i < READS_PER_CLOCK_LOOK; i++) {
      if (read.get(randomAccount()) === undefined) throw new Error('a row is missing')
    }
    operations += READS_PER_CLOCK_LOOK
    now = performance.now()
  }
  return { operations, seconds: (now - start) / 1000 }
}

/** Before the clock starts, the table is created again and the WAL emptied, so that all rounds start equal. */
function bulk(connection: Database.Database, rows: number): Sample {
  connection.exec('DROP TABLE IF EXISTS entry; CREATE TABLE entry (id INTEGER PRIMARY KEY, amount INTEGER, note TEXT)')
  connection.pragma('wal_checkpoint(TRUNCATE)')
  const insert = connection.prepare('INSERT INTO entry (amount, note) VALUES (?, ?)')
  const start = performance.now()
  connection.transaction(() => {
    for (let i = 0; i < rows; i++) insert.run(i, 'n'.repeat(60))
  })()
  return { operations: rows, seconds: (performance.now() - start) / 1000 }
}

function fillMegabytes(connection: Database.Database, megabytes: number): Sample {
  connection.exec('CREATE TABLE filling (id INTEGER PRIMARY KEY, data BLOB)')
  const insert = connection.prepare('INSERT INTO filling (data) VALUES (randomblob(600) || zeroblob(500))')
  const rows = Math.ceil((megabytes * 1e6) / FILLING_ROW_BYTES)
  const start = performance.now()
  for (let done = 0; done < rows; done += FILLING_TRANSACTION) {
    connection.transaction(() => {
      for (let i = done; i < Math.min(rows, done + FILLING_TRANSACTION); i++) insert.run()
    })()
  }
  return { operations: rows, seconds: (performance.now() - start) / 1000 }
}

function populate({ directory, count }: Extract<Workload, { kind: 'populate' }>): Sample {
  const start = performance.now()
  for (let i = 0; i < count; i++) {
    const connection = open({ path: join(directory, `${i}.db`), journalMode: 'WAL', synchronous: 'NORMAL' })
    connection.exec('CREATE TABLE note (text TEXT); INSERT INTO note VALUES (1)')
    connection.close()
  }
  return { operations: count, seconds: (performance.now() - start) / 1000 }
}

function check(connection: Database.Database): void {
  const found: unknown = connection.pragma('integrity_check', { simple: true })
  if (found !== 'ok') throw new Error(`integrity_check: ${String(found)}`)
}

function randomAccount(): number {
  return 1 + Math.floor(Math.random() * ACCOUNTS)
}
