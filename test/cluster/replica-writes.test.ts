import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { until } from '../harness/wait.ts'
import { TwoNodes } from './two-nodes.ts'

const MODES = ['WAL', 'DELETE', 'TRUNCATE', 'PERSIST'] as const
/** Longer than any test may take: a write that waits for a lock fails its test. */
const BUSY_MS = 600_000

async function create(nodes: TwoNodes, mode: string, name = `${mode}.db`) {
  const writer = nodes.open(nodes.primary, name)
  await writer.exec(`PRAGMA journal_mode = ${mode}`)
  await writer.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)')
  await writer.exec('CREATE INDEX t_v ON t (v)')
  await writer.exec(
    'INSERT INTO t (v) SELECT hex(randomblob(40)) FROM (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 2000) SELECT i FROM c)',
  )
  await nodes.same(name)
  return writer
}

/** How a write fails on a replica. */
function rejectionOf(mode: string): string {
  return mode === 'WAL' ? 'SQLITE_IOERR_WRITE' : 'SQLITE_READONLY_DIRECTORY'
}

function handOff({ primary, replica }: TwoNodes): Promise<unknown> {
  return until('a handoff', 60_000, async () => {
    const answer = await fetch(`${primary.url}/handoff`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ node: replica.name }),
    })
    return answer.status === 200
  })
}

describe.skipIf(findTool('consul') === undefined)('on a replica', () => {
  let nodes: TwoNodes

  beforeAll(async () => {
    nodes = await TwoNodes.start()
  }, 120_000)
  afterAll(() => nodes[Symbol.asyncDispose]())

  test.each(MODES)(
    'a write in %s mode fails at once, whatever the busy timeout; the log says why, and the connection reads on',
    async (mode) => {
      const writer = await create(nodes, mode)
      const application = nodes.open(nodes.replica, `${mode}.db`, { timeoutMs: BUSY_MS })
      expect(await application.value('SELECT count(*) FROM t')).toBe(2000)
      const expected = rejectionOf(mode)
      for (const sql of ['DELETE FROM t', 'BEGIN IMMEDIATE; DELETE FROM t; COMMIT', 'CREATE TABLE u (a)', 'VACUUM']) {
        expect((await application.errorOf(sql))?.code, sql).toBe(expected)
        await application.errorOf('ROLLBACK')
        await writer.exec('INSERT INTO t (v) VALUES (hex(randomblob(40)))')
      }
      await nodes.same(`${mode}.db`)
      expect(await application.value('SELECT count(*) FROM t')).toBe(2004)
      expect(await application.value('PRAGMA integrity_check')).toBe('ok')
      expect(nodes.replica.node.logTail(1000)).toMatch(
        new RegExp(`this node is not the primary.*write on node-1.*${mode}\\.db.*\\(${application.pid}\\)`),
      )
    },
  )

  test.each(['WAL', 'DELETE'])(
    'a write transaction that is kept open in %s mode delays its database alone, the status says whose it is, and no reader sees a mix',
    async (mode) => {
      const name = `open-${mode}.db`
      const writer = await create(nodes, mode, name)
      const beside = nodes.open(nodes.primary, `${mode}.db`)
      const stubborn = nodes.open(nodes.replica, name)
      await stubborn.exec('BEGIN IMMEDIATE')
      expect(await stubborn.value('SELECT count(*) FROM t WHERE id < 100')).toBe(99)
      await beside.exec('DELETE FROM t WHERE id % 7 = 0')
      await writer.exec("UPDATE t SET v = 'new' || hex(randomblob(40))")
      await writer.exec('DELETE FROM t WHERE id % 7 = 0')
      await nodes.same(`${mode}.db`)
      const reason = await until('a database that lags', 60_000, async () => {
        return (await nodes.status(nodes.replica, name))?.replication?.reason
      })
      expect(reason).toMatch(new RegExp(`\\(${stubborn.pid}\\) has a write transaction open`))
      expect(await nodes.open(nodes.replica, name).value('SELECT count(*) FROM t')).toBe(2000)
      await stubborn.exec('ROLLBACK')
      expect(await stubborn.value('PRAGMA integrity_check')).toBe('ok')
      await nodes.same(name)
      expect(await stubborn.value('SELECT count(*) FROM t')).toBe(1715)
      expect(await stubborn.value('PRAGMA integrity_check')).toBe('ok')
    },
  )

  test('a connection whose writes were rejected writes on after a promotion', async () => {
    const applications = MODES.map((mode) => nodes.open(nodes.replica, `${mode}.db`, { timeoutMs: BUSY_MS }))
    for (const application of applications) expect(await application.errorOf('DELETE FROM t')).toBeDefined()
    const former = MODES.map((mode) => [mode, nodes.open(nodes.primary, `${mode}.db`)] as const)
    for (const [mode, application] of former)
      await application.exec(`PRAGMA journal_mode = ${mode}; DELETE FROM t WHERE id = 11`)
    await nodes.same()
    const kept = nodes.open(nodes.replica, 'WAL.db')
    await kept.exec('BEGIN IMMEDIATE')
    await handOff(nodes)
    // From the first moment on, whatever the former primary's journals look like.
    for (const [mode, application] of former)
      expect((await application.errorOf('DELETE FROM t'))?.code, mode).toBe(rejectionOf(mode))
    await until('the new primary', 60_000, async () => (await nodes.replica.status())?.role === 'primary')
    await kept.exec('DELETE FROM t WHERE id <= 4; COMMIT')
    for (const application of applications) {
      await until(
        'a write',
        60_000,
        async () => (await application.errorOf('DELETE FROM t WHERE id <= 10')) === undefined,
      )
    }
    await nodes.same()
  })
})
