import { createRequire } from 'node:module'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { it } from './conforming.ts'
import { attempt, python, run, Served, shell } from './served.ts'

/** Three builds of SQLite, each in a process of its own: the shell's, Python's, better-sqlite3's. */
const ENGINES: Record<string, (database: string, sql: string) => Promise<string>> = {
  'the sqlite3 shell': (database, sql) => run('sqlite3', '-batch', '-cmd', '.timeout 10000', database, sql),
  'Python’s sqlite3': (database, sql) =>
    python(
      `
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=10, isolation_level=None)
for statement in sys.argv[2].split(';'):
    for row in connection.execute(statement): print('|'.join(map(str, row)))
connection.close()`,
      database,
      sql,
    ),
  'better-sqlite3': (database, sql) => run(process.execPath, '-e', BETTER_SQLITE3, database, sql),
}

const BETTER_SQLITE3 = `
const database = new (require(${JSON.stringify(createRequire(import.meta.url).resolve('better-sqlite3'))}))(process.argv[1], { timeout: 60000 })
for (const sql of process.argv[2].split(';')) {
  if (sql.trim() === '') continue
  const statement = database.prepare(sql)
  if (!statement.reader) statement.run()
  else for (const row of statement.raw().iterate()) console.log(row.join('|'))
}
database.close()`

const MODES = ['DELETE', 'TRUNCATE', 'PERSIST', 'MEMORY', 'OFF', 'WAL']

let served: Served
beforeAll(async () => void (served = await Served.start()))
afterAll(() => served.end())

describe.each(Object.entries(ENGINES))('%s', (engine, query) => {
  it.each(MODES)('writes, rolls back, reads and vacuums in mode %s', async (mode) => {
    const database = served.at(`${engine.replace(/\W/g, '')}-${mode}.db`)
    const begin = `PRAGMA journal_mode=${mode}; CREATE TABLE t(id INTEGER PRIMARY KEY, v)`
    const defensive = mode === 'OFF' && engine === 'better-sqlite3' // better-sqlite3 does not allow mode OFF
    expect(await query(database, begin)).toBe(defensive ? 'delete' : mode.toLowerCase())
    const rows = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000)'
    const spilled = 'PRAGMA cache_size=5; PRAGMA cache_spill=1; BEGIN; UPDATE t SET v=hex(randomblob(120)); ROLLBACK'
    const steps = [
      `PRAGMA journal_mode=${mode}`,
      `${rows} INSERT INTO t SELECT i, hex(randomblob(100)) FROM n`,
      ...(mode === 'OFF' ? [] : [spilled, 'PRAGMA cache_size=-2000']),
      'DELETE FROM t WHERE id % 3 = 0',
      'VACUUM',
    ]
    await query(database, steps.join('; '))
    const look = 'SELECT count(*), sum(length(v)) FROM t; PRAGMA integrity_check'
    expect(await query(database, look)).toBe('1334|266800\nok')
    const behind = served.behind(database.slice(served.mount.length + 1))
    expect(await run('sqlite3', behind, 'SELECT count(*) FROM t; PRAGMA integrity_check')).toBe('1334\nok')
  })
})

describe('a database', () => {
  it.each(['WAL', 'DELETE'])('loses no write of three processes at once in mode %s', async (mode) => {
    const database = served.at(`concurrent-${mode}.db`)
    await run('sqlite3', database, `PRAGMA journal_mode=${mode}; CREATE TABLE c(n); INSERT INTO c VALUES(0)`)
    const program = `
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
connection.execute('PRAGMA synchronous=NORMAL')
for i in range(150):
    connection.execute('BEGIN IMMEDIATE')
    (n,) = connection.execute('SELECT n FROM c').fetchone()
    connection.execute('UPDATE c SET n = ?', (n + 1,))
    connection.execute('COMMIT')`
    await Promise.all([1, 2, 3].map(() => python(program, database)))
    expect(await run('sqlite3', database, 'SELECT n FROM c; PRAGMA integrity_check')).toBe('450\nok')
  })

  it('shows each reader one state while a writer continues, in WAL mode', async () => {
    const database = served.at('snapshots.db')
    await run(
      'sqlite3',
      database,
      'PRAGMA journal_mode=WAL; CREATE TABLE a(n); CREATE TABLE b(n); INSERT INTO a VALUES(0); INSERT INTO b VALUES(0)',
    )
    const writer = `
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
for i in range(500):
    c.execute('BEGIN IMMEDIATE'); c.execute('UPDATE a SET n=n+1'); c.execute('UPDATE b SET n=n-1'); c.execute('COMMIT')
    if i % 100 == 50: c.execute('PRAGMA wal_checkpoint(TRUNCATE)')`
    const reader = `
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
last = 0
for i in range(2000):
    a, b = c.execute('SELECT a.n, b.n FROM a, b').fetchone()
    assert a == -b and a >= last, (a, b, last)
    last = a
print('consistent')`
    const [, one, two] = await Promise.all([
      python(writer, database),
      python(reader, database),
      python(reader, database),
    ])
    expect([one, two]).toEqual(['consistent', 'consistent'])
  })

  it('survives kill -9 of its writer in the middle of a transaction', async () => {
    for (const mode of ['DELETE', 'WAL']) {
      const database = served.at(`killed-${mode}.db`)
      await run('sqlite3', database, `PRAGMA journal_mode=${mode}; CREATE TABLE t(v); INSERT INTO t VALUES('kept')`)
      const program = `
import os, signal, sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute('PRAGMA cache_size=2'); c.execute('BEGIN')
for i in range(500): c.execute('INSERT INTO t VALUES(randomblob(3000))')
os.kill(os.getpid(), signal.SIGKILL)`
      expect((await attempt('python3', ['-c', program, database])).code).not.toBe(0)
      expect(await run('sqlite3', database, 'SELECT count(*) FROM t; PRAGMA integrity_check')).toBe('1\nok')
    }
  })

  it('can be copied in and out by cp, backed up, dumped and moved', async () => {
    const out = `${served.directory}/elsewhere.db`
    await run('sqlite3', out, 'CREATE TABLE t(v); INSERT INTO t VALUES(1),(2)')
    await shell(
      served.mount,
      `cp ${out} in.db; sqlite3 in.db "INSERT INTO t VALUES(3)"; cp in.db ${out}; mkdir sub; mv in.db sub/moved.db`,
    )
    expect(await run('sqlite3', out, 'SELECT count(*) FROM t')).toBe('3')
    await shell(
      served.mount,
      `sqlite3 sub/moved.db ".backup saved.db" "VACUUM INTO 'compact.db'"; sqlite3 saved.db .dump | sqlite3 loaded.db`,
    )
    for (const name of ['saved.db', 'compact.db', 'loaded.db']) {
      expect(await run('sqlite3', served.at(name), 'SELECT sum(v) FROM t')).toBe('6')
    }
  })

  it('commits together with another in a transaction over both', async () => {
    const sql = `ATTACH '${served.at('two.db')}' AS two; BEGIN; CREATE TABLE main.t(v); CREATE TABLE two.t(v); INSERT INTO main.t VALUES(1); INSERT INTO two.t VALUES(2); COMMIT`
    await run('sqlite3', served.at('one.db'), sql)
    expect(await run('sqlite3', served.at('two.db'), 'SELECT v FROM t')).toBe('2')
  })

  it.each([512, 1024, 4096, 65536])('may have pages of %i bytes', async (pageSize) => {
    const database = served.at(`pages-${pageSize}.db`)
    const fill =
      'CREATE TABLE t(v); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<500) INSERT INTO t SELECT randomblob(700) FROM n'
    await run('sqlite3', database, `PRAGMA page_size=${pageSize}; PRAGMA journal_mode=WAL; ${fill}`)
    expect(await run('sqlite3', database, 'PRAGMA page_size; PRAGMA integrity_check')).toBe(`${pageSize}\nok`)
  })

  it('reads the same through a mapping', async () => {
    const database = served.at('mmap.db')
    await run(
      'sqlite3',
      database,
      'PRAGMA mmap_size=100000000; CREATE TABLE t(v); INSERT INTO t VALUES(randomblob(100000)); UPDATE t SET v=zeroblob(200000)',
    )
    expect(
      await run('sqlite3', database, 'PRAGMA mmap_size=100000000; SELECT length(v) FROM t; PRAGMA integrity_check'),
    ).toBe('100000000\n200000\nok')
  })

  it('needs no requests for reads once it is cached, in either mode', async () => {
    for (const mode of ['WAL', 'DELETE']) {
      const database = served.at(`quiet-${mode}.db`)
      await run('sqlite3', database, `PRAGMA journal_mode=${mode}; CREATE TABLE t(v); INSERT INTO t VALUES(1)`)
      const program = `
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
for i in range(1000): c.execute('SELECT * FROM t').fetchall()`
      const requests = await served.requestsOf(async () => void (await python(program, database)))
      const total = Object.values(requests).reduce((sum, count) => sum + count, 0)
      expect(total, JSON.stringify(requests)).toBeLessThan(60)
    }
  })
})
