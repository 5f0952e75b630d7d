import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../harness/wait.ts'
import type { SqlClient } from './sql-client.ts'
import { TwoNodes } from './two-nodes.ts'
import { createWatched } from './watched-table.ts'

let nodes: TwoNodes

beforeAll(async () => {
  nodes = await TwoNodes.start()
})
afterAll(() => nodes[Symbol.asyncDispose]())

test('a page size that changes with VACUUM reaches the replica', async () => {
  const writer = nodes.open(nodes.primary, 'pages.db')
  await createWatched(writer, 'DELETE')
  await nodes.same('pages.db')
  for (const size of [1024, 8192, 65536, 512, 4096]) {
    await writer.exec(`PRAGMA page_size = ${size}; VACUUM`)
    await nodes.same('pages.db')
    const reader = nodes.open(nodes.replica, 'pages.db', { timeoutMs: 30_000 })
    expect(await reader.value('PRAGMA page_size')).toBe(size)
    expect(await reader.value('PRAGMA integrity_check')).toBe('ok')
    await reader.close()
    expect((await nodes.status(nodes.replica, 'pages.db'))?.pageSize).toBe(size)
  }
})

/** Changes the page size of a database in WAL mode, as an application has to do it. */
const repage = (size: number) =>
  `PRAGMA journal_mode = DELETE; PRAGMA page_size = ${size}; VACUUM; PRAGMA journal_mode = WAL`

test('a new page size reaches idle connections in WAL mode, which read and write on without reopening', async () => {
  const writer = nodes.open(nodes.primary, 'idle.db')
  await createWatched(writer, 'WAL')
  await nodes.same('idle.db')
  const [reading, asleep] = [0, 1].map(() => nodes.open(nodes.replica, 'idle.db')) as [SqlClient, SqlClient]
  for (const idle of [reading, asleep]) expect(await idle.value('SELECT max(n) FROM t')).toBe(0)
  let n = 0
  for (const size of [8192, 512, 65536, 1024]) {
    await writer.exec(repage(size))
    await writer.exec('UPDATE t SET n = n + 1')
    await nodes.same('idle.db')
    expect(await reading.value('SELECT max(n) FROM t')).toBe(++n)
    expect(await reading.value('PRAGMA page_size')).toBe(size)
    expect(await reading.value('PRAGMA integrity_check')).toBe('ok')
    expect((await nodes.status(nodes.replica, 'idle.db'))?.pageSize).toBe(size)
  }
  expect(await asleep.value('PRAGMA integrity_check')).toBe('ok')
  expect(await asleep.value('SELECT max(n) FROM t')).toBe(n)
})

test('a read transaction holds up a new page size of its own database alone, is named, and reads its snapshot to the end', async () => {
  const names = ['snapshot.db', 'beside-snapshot.db']
  const [writer, beside] = names.map((name) => nodes.open(nodes.primary, name)) as [SqlClient, SqlClient]
  for (const each of [writer, beside]) await createWatched(each, 'WAL')
  for (const name of names) await nodes.same(name)
  const [older, reader] = [0, 1].map(() => nodes.open(nodes.replica, 'snapshot.db')) as [SqlClient, SqlClient]
  for (const [n, each] of [older, reader].entries()) {
    // The older one keeps what follows out of the database file, so that the other one needs the WAL.
    await each.exec('BEGIN')
    expect(await each.value('SELECT max(n) FROM t')).toBe(n)
    await writer.exec('UPDATE t SET n = n + 1')
    await nodes.same('snapshot.db')
  }
  await older.close()
  await writer.exec(repage(8192))
  await writer.exec('UPDATE t SET n = n + 1')
  await beside.exec('UPDATE t SET n = n + 1')
  await nodes.same('beside-snapshot.db')
  const reason = await until('a database that lags', 60_000, async () => {
    return (await nodes.status(nodes.replica, 'snapshot.db'))?.replication?.reason
  })
  expect(reason).toContain(`(${reader.pid}) reads an older state`)
  expect(nodes.replica.node.logTail(1000)).toContain(`(${reader.pid}) reads an older state`)
  expect(await reader.value('SELECT max(n) FROM t')).toBe(1)
  expect(await reader.value('PRAGMA integrity_check')).toBe('ok')
  await reader.exec('COMMIT')
  await nodes.same('snapshot.db')
  expect(await reader.value('SELECT max(n) FROM t')).toBe(3)
  expect(await reader.value('PRAGMA page_size')).toBe(8192)
})
