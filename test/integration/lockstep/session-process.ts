import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import Sqlite from 'better-sqlite3'
import { digest } from '../../harness/digest.ts'
import type { Row } from '../../harness/in-process/sqlite-engine.ts'
import type { Outcome, Reply, Request } from './session.ts'

/**
 * A process with a connection to a database on the mount, and one to its twin in a plain directory. It runs the same
 * statements on both.
 */

const BUSY_TIMEOUT_MS = 30
/** How long a checkpoint by ltxd may hold locks that do not exist in the plain directory. */
const PATIENCE_MS = 15_000

let pair: readonly [Sqlite.Database, Sqlite.Database] | undefined

process.on('message', (request: Request) => {
  void answer(request).then(
    (reply) => process.send?.(reply),
    (error: unknown) =>
      process.send?.({ failed: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  )
})
process.once('disconnect', () => process.exit())

async function answer(request: Request): Promise<Reply> {
  switch (request.op) {
    case 'open':
      pair = [open(request.paths[0]), open(request.paths[1])]
      break
    case 'close':
      for (const db of pair ?? []) db.close()
      pair = undefined
      break
    case 'run':
      return { outcome: await run(request.statements, request.alone), inTransaction: opened()[0].inTransaction }
    case 'content':
      return { outcome: outcomes((db) => digest((sql) => db.prepare(sql).raw().all() as Row[])) }
    case 'pages':
      return { outcome: outcomes((db) => createHash('sha256').update(db.serialize()).digest('hex')) }
    case 'backup':
      await Promise.all(opened().map((db, i) => db.backup(request.paths[i] as string)))
      break
  }
  return { inTransaction: pair?.[0].inTransaction ?? false }
}

function open(path: string): Sqlite.Database {
  return new Sqlite(path, { timeout: BUSY_TIMEOUT_MS })
}

function opened(): readonly [Sqlite.Database, Sqlite.Database] {
  if (pair === undefined) throw new Error('no database is open')
  return pair
}

function outcomes(of: (db: Sqlite.Database) => string): Outcome {
  const [here, there] = opened()
  return { here: attempt(() => of(here)), there: attempt(() => of(there)) }
}

/** Runs statements up to the first that fails. A transaction that they began is then rolled back. */
async function run(statements: readonly (readonly [string, string])[], alone: boolean): Promise<Outcome> {
  const [here, there] = opened()
  const before = there.inTransaction
  const answers: Outcome[] = []
  for (const [sqlHere, sqlThere] of statements) {
    const theirs = attempt(() => rowsOf(there, sqlThere))
    let ours = await patiently(() => attempt(() => rowsOf(here, sqlHere)), theirs, alone)
    // Among several connections ltxd alone checkpoints: docs/decisions/020-checkpoints.md.
    if (!alone && ours === BUSY_CHECKPOINT) ours = theirs
    answers.push({ here: ours, there: theirs })
    if (theirs.startsWith('SQLITE_') || ours !== theirs) break
  }
  const failed = answers.at(-1)?.there.startsWith('SQLITE_') === true
  for (const db of [here, there]) if (failed && !before && db.inTransaction) db.exec('ROLLBACK')
  return {
    here: answers.map((answer) => answer.here).join('; '),
    there: answers.map((answer) => answer.there).join('; '),
  }
}

/**
 * Retries a statement that is busy on the mount but not in the plain directory, because ltxd may be in a checkpoint.
 */
async function patiently(tryIt: () => string, theirs: string, alone: boolean): Promise<string> {
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    const ours = tryIt()
    const isBusy = ours === 'SQLITE_BUSY' || (alone && ours === BUSY_CHECKPOINT)
    if (!isBusy || ours === theirs || performance.now() > deadline) return ours
    await sleep(1)
  }
}

/**
 * Compares only the first column of a checkpoint's result, whether it was busy. The length of the WAL depends on
 * earlier checkpoints.
 */
const BUSY_CHECKPOINT = 'checkpoint busy'

function rowsOf(db: Sqlite.Database, sql: string): string {
  const statement = db.prepare(sql)
  if (!statement.reader) {
    const { changes } = statement.run()
    return `${changes} changes`
  }
  const rows = statement.raw().all() as Row[]
  if (sql.includes('wal_checkpoint')) return rows[0]?.[0] === 1 ? BUSY_CHECKPOINT : 'checkpoint done'
  const text = JSON.stringify(rows)
  return text.length < 100 ? text : createHash('sha256').update(text).digest('hex')
}

/** The result, or the code of the error. */
function attempt(what: () => string): string {
  try {
    return what()
  } catch (error) {
    if (!(error instanceof Sqlite.SqliteError)) throw error
    return error.code === 'SQLITE_ERROR' ? `SQLITE_ERROR ${error.message}` : error.code
  }
}
