import { Chance } from '../fuzz/chance.ts'
import { close, type Connection, type Draft, first, open, say, sql } from './draft.ts'
import { fileOperation, nameOfDatabase } from './generate-files.ts'
import { change, pragma, rewrite, setUp } from './generate-sql.ts'
import type { Program } from './program.ts'

/** Random programs. The kinds of steps, and their shares, are where capture has to look. */

const MAX_STEPS = 34

/** The program of a seed. */
export function generate(seed: number): Program {
  const chance = new Chance(seed)
  const draft: Draft = {
    chance,
    names: [nameOfDatabase(chance), 'b.db'],
    steps: [],
    connections: [
      { by: 0, slot: '0' },
      { by: 0, slot: '1' },
      { by: 1, slot: '0' },
    ].map((it) => ({ ...it, isOpen: false, inTransaction: false, savepoints: 0, isReading: false })),
    attached: false,
    vfs: chance.oneIn(30) ? ['unix-excl'] : [],
  }
  if (chance.oneIn(100)) replaced(draft)
  else free(draft)
  return {
    seed,
    names: draft.names,
    pieceBytes: chance.oneIn(20) ? chance.pick([100, 512, 1000, 3000]) : 0,
    steps: draft.steps,
  }
}

function free(draft: Draft): void {
  const { chance } = draft
  setUp(draft)
  const length = draft.steps.length + chance.integer(6, MAX_STEPS)
  while (draft.steps.length < length) step(draft)
  for (const connection of draft.connections)
    if (connection.inTransaction && chance.oneIn(2)) sql(draft, connection, 'COMMIT')
  if (chance.oneIn(12)) say(draft, { by: 0 }, 'kill')
  if (chance.oneIn(80)) say(draft, { by: 0 }, 'kill-node')
}

/** What a connection can do next, and how often. */
const TABLE: readonly (readonly [number, (draft: Draft, connection: Connection) => void])[] = [
  [40, (draft, connection) => change(draft, connection)],
  [20, transaction],
  [12, (draft, connection) => pragma(draft, connection)],
  [6, reader],
  [4, overBoth],
  [5, backup],
  [4, control],
  [3, fileOperation],
  [3, kill],
  [4, close],
]
const TOTAL = TABLE.reduce((sum, [share]) => sum + share, 0)

function step(draft: Draft): void {
  const { chance, connections } = draft
  const connection = chance.oneIn(3) ? chance.pick(connections) : first(draft)
  if (!connection.isOpen) return open(draft, connection)
  let at = chance.integer(0, TOTAL - 1)
  for (const [share, act] of TABLE) {
    if (at < share) return act(draft, connection)
    at -= share
  }
}

function transaction(draft: Draft, connection: Connection): void {
  const { chance } = draft
  if (!connection.inTransaction) {
    sql(draft, connection, chance.pick(['BEGIN', 'BEGIN', 'BEGIN IMMEDIATE', 'BEGIN EXCLUSIVE']))
    connection.inTransaction = true
    for (let i = chance.integer(1, 2); i > 0; i--) change(draft, connection)
    if (chance.oneIn(3)) return
  }
  if (chance.oneIn(2)) savepoint(draft, connection)
  if (chance.oneIn(4)) return
  sql(draft, connection, chance.oneIn(5) ? 'ROLLBACK' : 'COMMIT')
  connection.inTransaction = false
  connection.savepoints = 0
}

/** Pages that were spilled are changed again, and then given up. */
function savepoint(draft: Draft, connection: Connection): void {
  const { chance } = draft
  if (connection.savepoints === 0 || chance.oneIn(3)) {
    sql(draft, connection, `SAVEPOINT s${connection.savepoints++}`)
    rewrite(draft, connection)
    if (chance.oneIn(2)) again(draft, connection)
    if (chance.oneIn(4)) change(draft, connection)
  }
  const name = `s${chance.integer(0, connection.savepoints - 1)}`
  sql(draft, connection, `${chance.oneIn(4) ? 'RELEASE' : 'ROLLBACK TO'} ${name}`)
  if (chance.oneIn(3)) change(draft, connection)
  else rewrite(draft, connection)
}

/** The last change once more, with other content. */
function again(draft: Draft, connection: Connection): void {
  const last = draft.steps.at(-1)?.words ?? []
  if (last[0] === 'sql') sql(draft, connection, (last[2] ?? '').replace('noise(', 'noise(1 + '))
}

function reader(draft: Draft, connection: Connection): void {
  if (connection.isReading) say(draft, connection, 'end-read', connection.slot)
  else say(draft, connection, 'read', connection.slot, 'SELECT id, k, v FROM t')
  connection.isReading = !connection.isReading
}

/** A transaction over two databases. */
function overBoth(draft: Draft, connection: Connection): void {
  const { chance, names } = draft
  if (connection.inTransaction) return change(draft, connection)
  if (draft.attached && chance.oneIn(4)) return sql(draft, connection, 'DETACH other')
  sql(draft, connection, `ATTACH '${names[1]}' AS other`)
  draft.attached = true
  if (chance.oneIn(2))
    sql(draft, connection, `PRAGMA other.journal_mode = ${chance.pick(['WAL', 'DELETE', 'PERSIST'])}`)
  sql(draft, connection, 'CREATE TABLE IF NOT EXISTS other.o (id INTEGER PRIMARY KEY, v)')
  sql(draft, connection, 'BEGIN')
  change(draft, connection)
  sql(
    draft,
    connection,
    `INSERT INTO other.o (v) VALUES (noise(${chance.integer(1, 999)}, ${chance.integer(1, 3000)}))`,
  )
  sql(draft, connection, chance.oneIn(5) ? 'ROLLBACK' : 'COMMIT')
}

/** The backup API into the database, or out of it. */
function backup(draft: Draft, connection: Connection): void {
  const { chance, names } = draft
  const spare = { ...connection, slot: '5' }
  const [to, from] = chance.oneIn(2) ? [connection.slot, '5'] : ['5', connection.slot]
  say(draft, spare, 'open', '5', names[1], 'rw')
  if (chance.oneIn(2)) {
    sql(draft, spare, `PRAGMA page_size = ${chance.pick([512, 1024, 4096])}`)
    sql(draft, spare, 'CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, k INTEGER, v)')
    sql(draft, spare, `INSERT INTO t (k, v) VALUES (1, noise(${chance.integer(1, 99)}, 2500))`)
  }
  say(draft, spare, 'backup', to, from, chance.pick(['1', '3', '-1']), chance.oneIn(5) ? '2' : '0')
  say(draft, spare, 'close', '5')
}

function control(draft: Draft, connection: Connection): void {
  const { chance } = draft
  const [name, value] = chance.pick([
    ['chunk', chance.pick([4096, 16384, 65536])],
    ['hint', chance.pick([8192, 100_000])],
    ['persist', chance.integer(0, 1)],
    ['psow', chance.integer(0, 1)],
    ['flush', 0],
    ['flush', 0],
    ['release', 0],
    ['reset', 0],
    ['no-checkpoint', chance.integer(0, 1)],
  ] as const)
  say(draft, connection, 'control', connection.slot, name, String(value))
}

/** The application dies at one of its next writes; or at once; or the node does. */
function kill(draft: Draft, connection: Connection): void {
  const { chance } = draft
  const { by } = connection
  const dice = chance.integer(1, 32)
  if (dice <= 1) say(draft, { by: 0 }, 'kill-node')
  else if (dice <= 2) {
    const text = `UPDATE t SET v = noise(id, ${chance.integer(1, 900)})`
    say(draft, { by: 0 }, 'kill-node-in', String(chance.integer(0, 12)), text)
  } else if (dice <= 9) say(draft, { by }, 'kill')
  else {
    say(draft, { by }, 'arm', String(chance.oneIn(2) ? chance.integer(1, 8) : chance.integer(1, 60)), 'kill')
    change(draft, connection)
    if (connection.inTransaction) sql(draft, connection, 'COMMIT')
    return say(draft, { by }, 'disarm')
  }
  const gone =
    draft.steps.at(-1)?.words[0] === 'kill' ? draft.connections.filter((it) => it.by === by) : draft.connections
  for (const it of gone) Object.assign(it, { isOpen: false, inTransaction: false, savepoints: 0, isReading: false })
}

/** A database is made anew under its name, while ltxd's own checkpoint of it is under way. */
function replaced(draft: Draft): void {
  const { chance, names } = draft
  const [a, b] = [draft.connections[0] as Connection, draft.connections[1] as Connection]
  const files = ['', '-wal', '-shm', '-journal'].map((suffix) => `${names[0]}${suffix}`)
  const create = () => {
    say(draft, a, 'open', '0', names[0], 'rw')
    sql(draft, a, 'PRAGMA page_size = 1024')
    sql(draft, a, 'PRAGMA journal_mode = WAL')
    sql(draft, a, 'CREATE TABLE t (id INTEGER PRIMARY KEY, k INTEGER, v)')
  }
  const insert = (rows: number, bytes: number) =>
    sql(
      draft,
      a,
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows}) INSERT INTO t (k, v) SELECT i, noise(i, ${bytes}) FROM n`,
    )
  create()
  sql(draft, a, 'PRAGMA wal_autocheckpoint = 0')
  say(draft, b, 'open', '1', names[0], 'rw')
  sql(draft, b, 'SELECT count(*) FROM t')
  insert(chance.integer(2000, 5000), 800)
  say(draft, a, 'freeze', names[0])
  say(draft, a, 'close', '0')
  say(draft, b, 'close', '1')
  for (const file of files) say(draft, a, 'rm', file)
  create()
  for (let i = 0; i < 4; i++) insert(1, 100)
  say(draft, a, 'thaw')
  for (let i = 0; i < 4; i++) insert(1, 100)
}
