import { type Connection, type Draft, first, open, say, sql } from './draft.ts'

/** Random SQL: the databases' set-up, changes of their content, settings. */

const JOURNAL_MODES = ['WAL', 'WAL', 'WAL', 'DELETE', 'TRUNCATE', 'PERSIST'] as const
/** In these, ltxd may reject what is written. */
const WITHOUT_JOURNAL = ['MEMORY', 'OFF'] as const

/** The first connection and the table. Settings have a step each, so that a shorter program can do without. */
export function setUp(draft: Draft): void {
  const { chance } = draft
  const connection = first(draft)
  open(draft, connection)
  const set = (text: string) => sql(draft, connection, `PRAGMA ${text}`)
  set(`page_size = ${chance.pick([512, 512, 1024, 1024, 2048, 4096, 4096, 8192, 32768, 65536])}`)
  if (chance.oneIn(3)) set(`auto_vacuum = ${chance.pick(['FULL', 'INCREMENTAL'])}`)
  if (chance.oneIn(10)) set('locking_mode = EXCLUSIVE')
  if (chance.oneIn(8)) set(`mmap_size = ${chance.pick([4096, 1 << 24])}`)
  if (chance.oneIn(6)) set('secure_delete = 0')
  if (chance.oneIn(30)) say(draft, connection, 'control', connection.slot, 'chunk', chance.pick(['8192', '65536']))
  set(`journal_mode = ${chance.oneIn(40) ? chance.pick(WITHOUT_JOURNAL) : chance.pick(JOURNAL_MODES)}`)
  if (chance.oneIn(2)) set(`synchronous = ${chance.pick(['OFF', 'NORMAL', 'FULL', 'EXTRA'])}`)
  if (chance.oneIn(6)) set(`journal_size_limit = ${chance.pick([0, 4096, 20_000])}`)
  sql(draft, connection, 'CREATE TABLE t (id INTEGER PRIMARY KEY, k INTEGER, v)')
  if (chance.oneIn(2)) sql(draft, connection, 'CREATE INDEX t_k ON t (k)')
  insert(draft, connection, chance.pick([5, 60, 200, 200]))
}

/** A change of the content, in a transaction of its own or in the connection's. */
export function change(draft: Draft, connection: Connection): void {
  const { chance } = draft
  const bytes = chance.oneIn(10) ? 9000 : chance.integer(1, 900)
  const [low, high] = range(draft)
  const where = `WHERE id BETWEEN ${low} AND ${high}`
  const seed = chance.integer(1, 9999)
  const dice = chance.integer(1, 100)
  if (dice <= 25) return insert(draft, connection, chance.pick([1, 1, 5, 40]))
  if (dice <= 60) return run(draft, connection, `UPDATE t SET v = noise(id + ${seed}, ${bytes}) ${where}`)
  if (dice <= 66) return run(draft, connection, `UPDATE t SET k = ${seed} ${where}`)
  if (dice <= 78) return run(draft, connection, `DELETE FROM t ${where}`)
  if (dice <= 82) return run(draft, connection, 'DELETE FROM t')
  if (dice <= 85) return run(draft, connection, 'UPDATE t SET v = v WHERE id = 1')
  if (dice <= 88) return run(draft, connection, `INSERT OR REPLACE INTO t VALUES (${low}, 1, zeroblob(${bytes}))`)
  if (dice <= 92) {
    const at = String(chance.integer(0, 300))
    return say(draft, connection, 'blob', connection.slot, 'main', 't', 'v', String(low), at, '200', String(seed))
  }
  if (dice <= 95) return run(draft, connection, `CREATE TABLE IF NOT EXISTS u${seed % 3} AS SELECT * FROM t ${where}`)
  if (dice <= 97) return run(draft, connection, `DROP TABLE IF EXISTS u${seed % 3}`)
  sql(draft, connection, `SELECT count(*), sum(length(v)) FROM t ${where}`)
}

/** New content for many rows, which spills from a small cache. */
export function rewrite(draft: Draft, connection: Connection): void {
  const { chance } = draft
  const low = chance.pick([1, 50, 100])
  const noise = `noise(id + ${chance.integer(1, 9999)}, ${chance.integer(100, 500)})`
  run(draft, connection, `UPDATE t SET v = ${noise} WHERE id BETWEEN ${low} AND ${low + chance.pick([30, 100, 150])}`)
}

/** A setting, or upkeep. */
export function pragma(draft: Draft, connection: Connection): void {
  const { chance } = draft
  const text = chance.pick([
    `PRAGMA journal_mode = ${chance.oneIn(8) ? chance.pick(WITHOUT_JOURNAL) : chance.pick(JOURNAL_MODES)}`,
    `PRAGMA journal_mode = ${chance.pick(JOURNAL_MODES)}`,
    `PRAGMA wal_checkpoint(${chance.pick(['PASSIVE', 'FULL', 'RESTART', 'TRUNCATE'])})`,
    `PRAGMA wal_checkpoint(${chance.pick(['PASSIVE', 'FULL', 'RESTART', 'TRUNCATE'])})`,
    `PRAGMA wal_autocheckpoint = ${chance.pick([0, 1, 10, 1000])}`,
    `PRAGMA incremental_vacuum(${chance.integer(1, 20)})`,
    `PRAGMA locking_mode = ${chance.pick(['NORMAL', 'EXCLUSIVE'])}`,
    `PRAGMA cache_size = ${chance.pick([1, 2, 5, 10, 100])}`,
    `PRAGMA cache_spill = ${chance.pick([0, 1, 5])}`,
    `PRAGMA page_size = ${chance.pick([512, 1024, 4096, 65536])}`,
    `PRAGMA auto_vacuum = ${chance.integer(0, 2)}`,
    `PRAGMA mmap_size = ${chance.pick([0, 4096, 1 << 24])}`,
    `PRAGMA journal_size_limit = ${chance.pick([-1, 0, 4096, 20_000])}`,
    `PRAGMA synchronous = ${chance.pick(['OFF', 'NORMAL', 'FULL', 'EXTRA'])}`,
    `PRAGMA user_version = ${chance.integer(1, 99)}`,
    `PRAGMA max_page_count = ${chance.pick([20, 60, 1_000_000])}`,
    'PRAGMA integrity_check',
    'PRAGMA optimize',
    'REINDEX',
    'ANALYZE',
    'VACUUM',
    'VACUUM',
  ])
  sql(draft, connection, text)
}

function run(draft: Draft, connection: Connection, text: string): void {
  const interrupted = draft.chance.oneIn(30) ? [String(draft.chance.integer(50, 3000))] : []
  say(draft, connection, 'sql', connection.slot, text, ...interrupted)
}

function insert(draft: Draft, connection: Connection, rows: number): void {
  const { chance } = draft
  const size = chance.oneIn(12) ? 5000 : chance.integer(1, 700)
  const rest = `INSERT INTO t (k, v) SELECT i, noise(i + ${chance.integer(1, 9999)}, ${size}) FROM n`
  const numbers = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})`
  run(draft, connection, `${numbers} ${rest}`)
}

/** Few ranges, so that pages are changed again. */
function range({ chance }: Draft): [number, number] {
  const low = chance.pick([1, 1, 20, 50, 100])
  return [low, low + chance.pick([0, 5, 30, 100, 200])]
}
