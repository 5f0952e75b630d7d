import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { parseArgs } from 'node:util'
import Sqlite from 'better-sqlite3'
import { LogFollower } from '../harness/log-follower.ts'
import { digest } from '../harness/in-process/verdict.ts'
import type { Row } from '../harness/in-process/sqlite-engine.ts'
import { Random } from '../harness/random.ts'
import { ANY_PAGE_SIZE, Workload } from '../harness/workload.ts'
import type { Step } from '../harness/workload.ts'

/**
 * The application of the lockstep test: the same random SQL against a database on the mount and against a plain file. After
 * each step both answer alike; at moments of its choosing the pages are the same, and the LTX log, replayed so far, has those very pages.
 * Prints a line of JSON at the end; ends with exit code 1 at the first difference.
 *
 *     node --import tsx lockstep-client.ts --mount DIR --plain DIR --data DIR --seed N --seconds N
 */

const { values } = parseArgs({
  options: {
    mount: { type: 'string', default: '' },
    plain: { type: 'string', default: '' },
    data: { type: 'string', default: '' },
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '10' },
  },
})
const deadline = performance.now() + Number(values.seconds) * 1000
const STEPS_A_DATABASE = 120
const PAGES_EVERY = 8

const report = { databases: [] as { name: string; digest: string }[], steps: 0, transactions: 0, comparisons: 0 }

for (let n = 0; performance.now() < deadline; n++) {
  const seed = Number(values.seed) + n
  try {
    await lockstep(`lockstep-${n}.db`, seed)
  } catch (error) {
    console.error(`SEED=${seed} fails at step ${report.steps}`)
    throw error
  }
}
console.log(JSON.stringify(report))

async function lockstep(name: string, seed: number): Promise<void> {
  const random = new Random(seed)
  const workload = new Workload(random, {
    pageSizes: ANY_PAGE_SIZE,
    journalModes: ['wal', 'wal', 'delete', 'truncate', 'persist'],
    synchronous: ['off', 'normal', 'full', 'extra'],
    maintenance: true,
    largeBytes: random.next() < 0.2 ? 3_000_000 : 150_000,
  })
  const mmapBytes = random.next() < 0.3 ? 1 << 26 : 0
  const paths = [`${values.mount}/${name}`, `${values.plain}/${name}`] as const
  const open = () => paths.map((path) => openDatabase(path, mmapBytes)) as [Sqlite.Database, Sqlite.Database]
  let pair = open()
  const log = new LogFollower(values.data, name)
  const step = async ({ sql, reopen }: Step, comparePages: boolean) => {
    report.steps++
    const [here, there] = pair.map((db) => attempt(db, sql))
    same(here, there, `the outcome of ${sql}`)
    if (reopen === true) {
      for (const db of pair) db.close()
      pair = open()
    }
    same(contentOf(pair[0]), contentOf(pair[1]), `the content after ${sql}`)
    if (comparePages) await compareAll(paths, log, sql)
  }
  for (const setUp of workload.setUp()) await step(setUp, false)
  const steps = random.integer(10, STEPS_A_DATABASE)
  for (let i = 0; i < steps && performance.now() < deadline; i++)
    await step(workload.next(), random.integer(1, PAGES_EVERY) === 1)
  await compareAll(paths, log, 'the last step')
  const content = contentOf(pair[0])
  for (const db of pair) db.close()
  same(hash(fs.readFileSync(paths[0])), hash(fs.readFileSync(paths[1])), 'the file after closing')
  report.transactions += Number(log.database.txid)
  report.databases.push({ name, digest: content })
}

function openDatabase(path: string, mmapBytes: number): Sqlite.Database {
  const db = new Sqlite(path, { timeout: 5_000 })
  db.pragma(`mmap_size = ${mmapBytes}`)
  return db
}

/** What an application sees of a step: its error, if there is one. */
function attempt(db: Sqlite.Database, sql: string): string {
  try {
    db.exec(sql)
    return 'done'
  } catch (error) {
    if (!(error instanceof Sqlite.SqliteError)) throw error
    if (db.inTransaction) db.exec('ROLLBACK')
    return error.code
  }
}

function contentOf(db: Sqlite.Database): string {
  return digest((sql) => db.prepare(sql).raw().all() as Row[])
}

/**
 * The pages on the mount, in the plain file and in the replayed log are the same, byte for byte, and in order by themselves. Seen by
 * connections of their own: the writer's cache still has what the free-list's leaves once were.
 */
async function compareAll(paths: readonly string[], log: LogFollower, when: string): Promise<void> {
  const [here, there] = paths.map((path) => {
    const fresh = new Sqlite(path, { timeout: 5_000 })
    same(JSON.stringify(fresh.pragma('integrity_check')), '[{"integrity_check":"ok"}]', `integrity after ${when}`)
    const bytes = fresh.serialize()
    fresh.close()
    return bytes
  }) as [Buffer, Buffer]
  await log.catchUp()
  same(firstDifference(here, there), undefined, `the pages on the mount and in the plain file after ${when}`)
  same(firstDifference(here, log.database.bytes()), undefined, `the pages on the mount and in the log after ${when}`)
  report.comparisons++
}

/** undefined when they are equal; else where they differ. */
function firstDifference(a: Buffer, b: Buffer): string | undefined {
  if (a.equals(b)) return undefined
  if (a.length !== b.length) return `${a.length} bytes and ${b.length} bytes`
  const at = a.findIndex((byte, i) => byte !== b[i])
  return `byte ${at}: ${a[at]} and ${b[at]}`
}

function same<T>(actual: T, expected: T, what: string): void {
  if (actual !== expected)
    throw new Error(`${what} differs: ${String(actual)} on the mount, ${String(expected)} otherwise`)
}

function hash(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
