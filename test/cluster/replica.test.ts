import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { effort } from '../harness/effort.ts'
import { until } from '../harness/wait.ts'
import type { SqlClient } from './sql-client.ts'
import { TwoNodes } from './two-nodes.ts'
import { createWatched } from './watched-table.ts'

const MODES = ['WAL', 'DELETE', 'TRUNCATE', 'PERSIST'] as const
/** The number of updates while a reader watches. */
const UPDATES = effort(150, 300)
let nodes: TwoNodes

beforeAll(async () => {
  nodes = await TwoNodes.start()
})
afterAll(() => nodes[Symbol.asyncDispose]())

test('the file of a quiet database has everything: on the primary with one connection, on the replica with none and with one', async () => {
  const name = 'quiet.db'
  const writer = nodes.open(nodes.primary, name)
  await createWatched(writer, 'WAL')
  /** The number of rows in a copy of the file alone. */
  const rows = async (mount: string) => {
    const copy = join(nodes.cluster.dir, 'copy.db')
    expect((await nodes.shell('cp "$1" "$2"', join(mount, name), copy)).code).toBe(0)
    const database = new Sqlite(copy)
    try {
      return database.prepare('SELECT count(*) FROM t').pluck().get()
    } catch {
      return undefined
    } finally {
      database.close()
    }
  }
  for (const more of [0, 3]) {
    for (let i = 0; i < more; i++) await writer.exec("INSERT INTO t VALUES (NULL, 1, 'more')")
    await nodes.same(name)
    const expected = await writer.value('SELECT count(*) FROM t')
    for (const { mount } of [nodes.primary, nodes.replica]) {
      await until(
        `${String(expected)} rows in a copy from ${mount}`,
        30_000,
        async () => (await rows(mount)) === expected,
      )
    }
    expect(await nodes.open(nodes.replica, name).value('SELECT count(*) FROM t')).toBe(expected)
  }
  expect(await writer.value('PRAGMA journal_mode = DELETE')).toBe('delete')
})

test.each(MODES)('every kind of change on a primary in %s mode reaches the replica', async (mode) => {
  const name = `all/of/${mode}.db`
  await nodes.shell('mkdir -p "$1"', join(nodes.primary.mount, 'all/of'))
  const writer = nodes.open(nodes.primary, name)
  await createWatched(writer, mode)
  await nodes.same(name)
  const reader = nodes.open(nodes.replica, name, { timeoutMs: 30_000 })
  const steps = [
    'CREATE TABLE u (a TEXT PRIMARY KEY, b BLOB) WITHOUT ROWID',
    'CREATE INDEX t_n ON t (n, id)',
    'UPDATE t SET n = n + 1',
    'ALTER TABLE t ADD COLUMN extra TEXT',
    // More than 16 MiB in one transaction, far beyond the cache, so it spills.
    "BEGIN; INSERT INTO u SELECT hex(randomblob(8)), randomblob(20000) FROM t a, t b WHERE b.id <= 24; UPDATE t SET extra = 'x'; COMMIT",
    'DELETE FROM u WHERE rowid IS NULL OR a > "8"',
    'VACUUM',
    'PRAGMA user_version = 77',
    'DROP TABLE u',
    'VACUUM',
    'BEGIN; DELETE FROM t WHERE id > 20; SAVEPOINT s; DELETE FROM t; ROLLBACK TO s; COMMIT',
  ]
  for (const sql of steps.map((one) => one.replace('rowid IS NULL OR a > "8"', "a > '8'"))) {
    await writer.exec(sql)
    await nodes.same(name)
    const query =
      'SELECT (SELECT group_concat(sql) FROM sqlite_schema), (SELECT sum(n) FROM t), (SELECT count(*) FROM t)'
    expect(await reader.all(query), sql).toEqual(await writer.all(query))
    expect(await reader.value('PRAGMA integrity_check'), sql).toBe('ok')
  }
  await reader.close()
  await writer.close()
})

test('every change from one journal mode to another reaches the replica', async () => {
  const writer = nodes.open(nodes.primary, 'modes.db', { timeoutMs: 30_000 })
  await createWatched(writer, 'WAL')
  await nodes.same('modes.db')
  const reader = nodes.open(nodes.replica, 'modes.db', { timeoutMs: 30_000 })
  for (const mode of ['DELETE', 'WAL', 'PERSIST', 'WAL', 'TRUNCATE', 'DELETE', 'WAL']) {
    expect(await writer.value(`PRAGMA journal_mode = ${mode}`)).toBe(mode.toLowerCase())
    await writer.exec('UPDATE t SET n = n + 1')
    await nodes.same('modes.db')
    expect(await reader.value('SELECT max(n) FROM t'), mode).toBe(await writer.value('SELECT max(n) FROM t'))
  }
  await reader.close()
})

test('databases that are dropped, created again, or copied in reach the replica', async () => {
  const writer = nodes.open(nodes.primary, 'sub/dir/again.db')
  await nodes.shell('mkdir -p "$1"', join(nodes.primary.mount, 'sub/dir'))
  for (const mode of MODES) {
    await createWatched(writer, mode)
    await nodes.same('sub/dir/again.db')
    await writer.close()
    await nodes.shell('rm -f "$1" "$1-wal" "$1-shm" "$1-journal"', join(nodes.primary.mount, 'sub/dir/again.db'))
    await until('the drop on the replica', 60_000, async () => {
      return (await nodes.shell('test -e "$1"', join(nodes.replica.mount, 'sub/dir/again.db'))).code === 1
    })
  }
  const copy = join(nodes.cluster.dir, 'copied.db')
  const outside = nodes.open({ ...nodes.primary, mount: nodes.cluster.dir } as typeof nodes.primary, 'copied.db')
  await createWatched(outside, 'DELETE')
  await outside.close()
  expect((await nodes.shell('cp "$1" "$2"', copy, join(nodes.primary.mount, 'copied.db'))).code).toBe(0)
  await nodes.same('copied.db')
  expect((await nodes.shell('cmp "$1" "$2"', copy, join(nodes.replica.mount, 'copied.db'))).output).toBe('')
})

test.each(MODES)(
  'a reader of a replica in %s mode sees whole states, and never an older after a newer one',
  async (mode) => {
    const name = `watched-${mode}.db`
    const writer = nodes.open(nodes.primary, name, { timeoutMs: 30_000 })
    await createWatched(writer, mode)
    await nodes.same(name)
    const watcher = await nodes.watch(name)
    for (let i = 0; i < UPDATES; i++) await writer.exec('UPDATE t SET n = n + 1')
    if (mode === 'WAL') await writer.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    // Continue until even a slow reader has seen several states.
    let updates = UPDATES
    for (; updates < UPDATES + 50 || !watcher.sawSeveral; updates++) await writer.exec('UPDATE t SET n = n + 1')
    await nodes.same(name)
    const { reads, states, findings } = await watcher.end()
    console.log(`${mode}: ${states} states of ${updates + 1} seen in ${reads} reads`)
    expect(findings).toEqual([])
    expect(states).toBeGreaterThan(3)
  },
)

test('a long reader in WAL mode delays nothing', async () => {
  const writer = nodes.open(nodes.primary, 'long-wal.db')
  await createWatched(writer, 'WAL')
  await nodes.same('long-wal.db')
  const long = nodes.open(nodes.replica, 'long-wal.db')
  await long.exec('BEGIN')
  expect(await long.value('SELECT max(n) FROM t')).toBe(0)
  for (let i = 0; i < 100; i++) await writer.exec('UPDATE t SET n = n + 1, filler = randomblob(4000)')
  await nodes.same('long-wal.db')
  expect(await long.value('SELECT max(n) FROM t')).toBe(0)
  const fresh = nodes.open(nodes.replica, 'long-wal.db')
  expect(await fresh.value('SELECT max(n) FROM t')).toBe(100)
  await long.exec('COMMIT')
  expect(await long.value('SELECT max(n) FROM t')).toBe(100)
})

test('a long reader in rollback mode delays only its database, and the status says so', async () => {
  const names = ['long-delete.db', 'beside.db']
  const [writer, beside] = names.map((name) => nodes.open(nodes.primary, name)) as [SqlClient, SqlClient]
  await createWatched(writer, 'DELETE')
  await createWatched(beside, 'DELETE')
  await nodes.same()
  const long = nodes.open(nodes.replica, 'long-delete.db')
  await long.exec('BEGIN')
  expect(await long.value('SELECT max(n) FROM t')).toBe(0)
  for (let i = 0; i < 20; i++) {
    await writer.exec('UPDATE t SET n = n + 1')
    await beside.exec('UPDATE t SET n = n + 1')
  }
  await nodes.same('beside.db')
  const lagging = await until('a database that lags', 60_000, async () => {
    const replication = (await nodes.status(nodes.replica, 'long-delete.db'))?.replication
    return replication?.state === 'lagging' && replication
  })
  expect(lagging.reason).toMatch(/long-delete\.db/)
  expect(lagging.reason).toContain(`(${long.pid}) reads it`)
  expect(await long.value('SELECT max(n) FROM t')).toBe(0)
  await long.exec('COMMIT')
  await nodes.same()
  expect(await long.value('SELECT max(n) FROM t')).toBe(20)
})

test.each(MODES)('no application on a replica can change a database in %s mode', async (mode) => {
  const name = `refused-${mode}.db`
  const writer = nodes.open(nodes.primary, name)
  await createWatched(writer, mode)
  await nodes.same(name)
  const before = await nodes.status(nodes.replica, name)
  const file = join(nodes.replica.mount, name)
  const reader = nodes.open(nodes.replica, name)
  const rows = await reader.all('SELECT * FROM t')
  await reader.close()
  const application = nodes.open(nodes.replica, name)
  for (const sql of [
    'BEGIN IMMEDIATE; UPDATE t SET n = 5; COMMIT',
    'BEGIN EXCLUSIVE; UPDATE t SET n = 5; COMMIT',
    'UPDATE t SET n = 5',
    'CREATE TABLE v (a)',
    'PRAGMA user_version = 5',
    'VACUUM',
    'DROP TABLE t',
    'BEGIN; DELETE FROM t; COMMIT',
  ]) {
    const refused = await application.errorOf(sql)
    expect(refused?.code, sql).toMatch(/^SQLITE_(READONLY_DIRECTORY|IOERR_WRITE)/)
    await application.errorOf('ROLLBACK')
  }
  await application.errorOf(`PRAGMA journal_mode = ${mode === 'WAL' ? 'DELETE' : 'WAL'}`)
  await application.close()
  for (const command of [
    'printf x | dd of="$1" bs=1 seek=5000 conv=notrunc',
    'head -c 4096 /dev/zero | dd of="$1" bs=4096 conv=notrunc',
    ': > "$1"',
    'truncate -s 4096 "$1"',
    'truncate -s +4096 "$1"',
    'rm "$1"',
    'mv "$1" "$1.moved"',
    'mv /etc/hostname.does.not.exist "$1" || cp /dev/null "$1"',
  ]) {
    expect((await nodes.shell(command, file)).code, command).not.toBe(0)
  }
  expect(await reader.all('SELECT * FROM t')).toEqual(rows)
  expect((await nodes.status(nodes.replica, name))?.position).toBe(before?.position)
  await writer.exec('UPDATE t SET n = n + 1')
  await nodes.same(name)
  expect(await reader.value('SELECT max(n) FROM t')).toBe(1)
  expect(await reader.value('PRAGMA integrity_check')).toBe('ok')
})

test('applications that try to write to a replica, however often, stall nothing', async () => {
  const writers = MODES.map((mode) => nodes.open(nodes.primary, `busy-${mode}.db`, { timeoutMs: 30_000 }))
  for (const [i, writer] of writers.entries()) await createWatched(writer, MODES[i] ?? '')
  await nodes.same()
  const applications = MODES.map((mode) => nodes.open(nodes.replica, `busy-${mode}.db`))
  let going = true
  const hammering = Promise.all(
    applications.map(async (application) => {
      const codes = new Set<string | undefined>()
      while (going) {
        codes.add((await application.errorOf('BEGIN IMMEDIATE; UPDATE t SET n = -1; COMMIT'))?.code)
        await application.errorOf('ROLLBACK')
      }
      return codes
    }),
  )
  for (let i = 0; i < 100; i++) for (const writer of writers) await writer.exec('UPDATE t SET n = n + 1')
  await nodes.same()
  going = false
  for (const codes of await hammering) {
    for (const code of codes) expect(code).toMatch(/^SQLITE_(BUSY|READONLY_DIRECTORY|IOERR_WRITE)/)
  }
  for (const application of applications) expect(await application.value('PRAGMA integrity_check')).toBe('ok')
})
