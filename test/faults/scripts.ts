import fs from 'node:fs'
import Database from 'better-sqlite3'
import type { Application } from '../harness/in-process/application.ts'
import { temporaryDirectory } from '../harness/in-process/node-in-process.ts'

/** An action that commits at most once to each database. */
export type Step = (application: Application) => void

export interface Script {
  /** Every acknowledged commit is durable: `synchronous = FULL`, and SQL only. */
  readonly durable: boolean
  /** `synchronous = OFF` without a WAL: after a power loss the file may be in no committed state at all. */
  readonly unsafe?: boolean
  /** Files that were copied in, and never synced: of those a power loss may leave any part, as in a plain directory. */
  readonly copies?: boolean
  readonly steps: readonly Step[]
}

const sql =
  (statements: string, name?: string): Step =>
  (application) =>
    application.sql(statements, name)
const beside =
  (statements: string): Step =>
  (application) =>
    application.beside(statements)
const close: Step = (application) => application.close()
const maintain: Step = (application) => application.maintain()
const syncLog: Step = (application) => application.syncLog()

/** Inserts the rows `from` to `to`, each of about `bytes`. */
const insert = (from: number, to: number, bytes = 150) =>
  `INSERT INTO t WITH RECURSIVE n(i) AS (SELECT ${from} UNION ALL SELECT i + 1 FROM n WHERE i < ${to}) ` +
  `SELECT i, 'row ' || i || hex(zeroblob(${Math.ceil(bytes / 2)})) FROM n`

const create = (pageSize: number, mode: string, more = ''): Step[] => [
  sql(
    `PRAGMA page_size = ${pageSize}; PRAGMA cache_size = 5; ${more}; PRAGMA journal_mode = ${mode}; PRAGMA synchronous = FULL`,
  ),
  sql('CREATE TABLE t (a INTEGER PRIMARY KEY, b)'),
]

const changes: Step[] = [
  sql(insert(1, 8)),
  sql('BEGIN; UPDATE t SET b = b || a WHERE a % 3 = 0; DELETE FROM t WHERE a = 5; COMMIT'),
  sql(`BEGIN; ${insert(20, 24)}; ROLLBACK`),
  maintain,
  sql("UPDATE t SET b = 'short' WHERE a < 3"),
]

const common = (mode: string): Step[] => [
  ...create(512, mode),
  ...changes,
  close,
  sql('DELETE FROM t WHERE a > 6'),
  close,
]

/** Without a shared wal-index. */
const exclusive = (mode: string): Step[] => [
  ...create(512, mode, 'PRAGMA locking_mode = EXCLUSIVE'),
  ...changes,
  sql('PRAGMA locking_mode = NORMAL; SELECT count(*) FROM t'),
  sql(insert(30, 31)),
  close,
]

/** Changes more pages than the cache holds, and rolls back a part. */
const savepoints = (mode: string): Step[] => [
  ...create(512, mode),
  sql(insert(1, 6)),
  sql(
    `BEGIN; ${insert(10, 14)}; SAVEPOINT s; ${insert(20, 36, 300)}; UPDATE t SET b = a WHERE a < 12; ROLLBACK TO s; ` +
      `${insert(40, 41)}; COMMIT`,
  ),
  sql(`BEGIN; SAVEPOINT s; ${insert(50, 66, 300)}; ROLLBACK TO s; RELEASE s; ROLLBACK`),
  sql(insert(70, 70)),
  close,
]

const vacuum = (mode: string): Step[] => [
  ...create(512, mode),
  sql(insert(1, 12, 300)),
  sql('DELETE FROM t WHERE a % 2 = 0'),
  sql('VACUUM'),
  sql(insert(20, 21)),
  close,
]

const large = (pageSize: number, mode: string): Step[] => [
  ...create(pageSize, mode),
  sql(insert(1, 3, pageSize)),
  sql('UPDATE t SET b = a WHERE a = 2'),
  close,
]

/** The bytes of a database that was made elsewhere. */
function elsewhere(mode: string): Buffer {
  using temporary = temporaryDirectory()
  const path = `${temporary.dir}/x.db`
  const database = new Database(path)
  database.pragma('page_size = 1024')
  database.pragma(`journal_mode = ${mode}`)
  database.exec(`CREATE TABLE t (a INTEGER PRIMARY KEY, b); ${insert(1, 12)}`)
  database.close()
  return fs.readFileSync(path)
}

const copyIn =
  (mode: string, name: string, chunkSizeBytes: number): Step =>
  (application) =>
    application.copyIn(elsewhere(mode), name, chunkSizeBytes)

const drop: Step = (application) => {
  application.close()
  application.unlink('a.db')
}

const durable = (steps: readonly Step[]): Script => ({ durable: true, steps })
const lazy = (steps: readonly Step[]): Script => ({ durable: false, steps })
const unsafe = (steps: readonly Step[]): Script => ({ durable: false, unsafe: true, steps })

/** Renames `a.db` to `c.db` while no connection has it open. */
const renamed = (mode: string, ...meanwhile: readonly Step[]): Script =>
  lazy([
    ...create(512, mode),
    sql(insert(1, 4)),
    ...meanwhile,
    (application) => {
      application.close()
      application.rename('a.db', 'c.db')
    },
    sql(insert(5, 6), 'c.db'),
    close,
  ])

/** Renames a database over `a.db`, beside which an application that crashed left its WAL or journal. */
const renamedOver = (mode: string): Script =>
  lazy([
    ...create(512, mode),
    sql('CREATE TABLE other (x)', 'c.db'),
    sql(insert(1, 4)),
    (application) => {
      application.crash()
      application.rename('c.db', 'a.db')
    },
    sql('INSERT INTO other VALUES (1)'),
    close,
  ])

/** The scripts by name. Each begins in an empty directory. */
export const SCRIPTS: Readonly<Record<string, Script>> = {
  wal: durable(common('WAL')),
  delete: durable(common('DELETE')),
  truncate: durable(common('TRUNCATE')),
  persist: durable(common('PERSIST')),
  'wal, synchronous off': lazy([
    ...create(512, 'WAL'),
    sql('PRAGMA synchronous = OFF'),
    sql(insert(1, 4)),
    syncLog,
    sql(insert(5, 8)),
    maintain,
    sql('DELETE FROM t WHERE a = 2'),
    close,
  ]),
  'delete, synchronous off': unsafe([
    ...create(512, 'DELETE'),
    sql('PRAGMA synchronous = OFF'),
    sql(insert(1, 4)),
    syncLog,
    sql(insert(5, 8)),
    maintain,
    sql('DELETE FROM t WHERE a = 2'),
    close,
  ]),
  'exclusive wal': durable(exclusive('WAL')),
  'exclusive delete': durable(exclusive('DELETE')),
  'exclusive persist': durable(exclusive('PERSIST')),
  'exclusive truncate': durable(exclusive('TRUNCATE')),
  'savepoints that spilled, wal': durable(savepoints('WAL')),
  'savepoints that spilled, delete': durable(savepoints('DELETE')),
  'savepoints that spilled, persist': durable(savepoints('PERSIST')),
  'vacuum, wal': durable(vacuum('WAL')),
  'vacuum, delete': durable(vacuum('DELETE')),
  'page size': durable([
    ...create(512, 'DELETE'),
    sql(insert(1, 6)),
    sql('PRAGMA page_size = 2048; VACUUM'),
    sql(insert(7, 8)),
    sql('PRAGMA page_size = 512; VACUUM'),
    sql('PRAGMA journal_mode = WAL'),
    sql(insert(9, 9)),
    close,
  ]),
  'pages of 8192, wal': durable(large(8192, 'WAL')),
  'pages of 8192, delete': durable(large(8192, 'DELETE')),
  'pages of 65536, wal': durable(large(65_536, 'WAL')),
  'pages of 65536, persist': durable(large(65_536, 'PERSIST')),
  'journal size limit, persist': durable([
    ...create(512, 'PERSIST', 'PRAGMA journal_size_limit = 600'),
    sql(insert(1, 8)),
    sql('UPDATE t SET b = a'),
    sql(insert(10, 10)),
    close,
  ]),
  'journal size limit, wal': durable([
    ...create(512, 'WAL', 'PRAGMA journal_size_limit = 600'),
    sql(insert(1, 8)),
    sql('PRAGMA wal_checkpoint(RESTART)'),
    sql(insert(10, 10)),
    sql('PRAGMA wal_checkpoint(TRUNCATE)'),
    close,
  ]),
  modes: durable([
    ...create(512, 'WAL'),
    sql(insert(1, 4)),
    ...['DELETE', 'PERSIST', 'WAL', 'TRUNCATE', 'WAL', 'PERSIST', 'DELETE'].flatMap((mode, i) => [
      sql(`PRAGMA journal_mode = ${mode}`),
      sql(insert(10 + i, 10 + i)),
    ]),
    close,
  ]),
  checkpoints: durable([
    ...create(512, 'WAL'),
    ...['PASSIVE', 'FULL', 'RESTART', 'TRUNCATE'].flatMap((kind, i) => [
      sql(insert(10 * i + 1, 10 * i + 3)),
      sql(`PRAGMA wal_checkpoint(${kind})`),
      sql(`DELETE FROM t WHERE a = ${10 * i + 1}`),
      beside(insert(10 * i + 5, 10 * i + 6)),
    ]),
    sql('PRAGMA wal_autocheckpoint = 3'),
    sql(insert(50, 56)),
    close,
  ]),
  'rename, delete': renamed('DELETE'),
  'rename, wal': renamed('WAL'),
  'rename over another': renamed('DELETE', sql('CREATE TABLE other (x)', 'c.db')),
  'rename over one with a WAL': renamedOver('WAL'),
  'rename over one with a journal': renamedOver('PERSIST'),
  'drop and re-create': lazy([
    ...create(512, 'WAL'),
    sql(insert(1, 4)),
    drop,
    ...create(1024, 'DELETE'),
    sql(insert(1, 2)),
    drop,
    ...create(512, 'WAL'),
    close,
  ]),
  'copied in': {
    durable: false,
    copies: true,
    steps: [
      copyIn('DELETE', 'b.db', 4096),
      sql(insert(20, 21), 'b.db'),
      copyIn('WAL', 'c.db', 1024),
      sql(insert(20, 21), 'c.db'),
      close,
    ],
  },
}
