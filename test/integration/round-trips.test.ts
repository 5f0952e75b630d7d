import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { NodeStatus } from '../../src/api/status.ts'
import { SqlClient } from '../cluster/sql-client.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'

const TRANSACTIONS = 100
const base = mkdtempSync(path.join(realpathSync(tmpdir()), 'ltxd-round-trips-'))
const [mount, data] = [path.join(base, 'mount'), path.join(base, 'data')]
let node: LtxdNode

beforeAll(async () => {
  node = LtxdNode.start({ mount, data, logFile: path.join(base, 'log') })
  await node.mounted()
})
afterAll(async () => {
  await node.destroy()
  rmSync(base, { recursive: true, force: true })
})

async function requests(): Promise<Readonly<Record<string, number>>> {
  const { url } = JSON.parse(readFileSync(path.join(data, 'api.json'), 'utf8')) as { url: string }
  const status = (await (await fetch(`${url}/status`)).json()) as NodeStatus
  return status.mount.requests
}

/** ltxd wakes its own thread, as often as the disk is slow: no request of an application's. */
const OWN = 'NOTIFY_REPLY'

/** The number of requests of each kind for one `statement`, without occasional ones and ltxd's own. */
async function requestsOf(client: SqlClient, statement: string): Promise<Record<string, number>> {
  const before = await requests()
  for (let i = 0; i < TRANSACTIONS; i++) await client.exec(statement)
  const after = await requests()
  const each: Record<string, number> = {}
  for (const [name, count] of Object.entries(after)) {
    const perTransaction = Math.round((10 * (count - (before[name] ?? 0))) / TRANSACTIONS) / 10
    if (perTransaction > 0 && name !== OWN) each[name] = perTransaction
  }
  return each
}

const total = (counts: Readonly<Record<string, number>>) => Object.values(counts).reduce((sum, n) => sum + n, 0)

test.each([
  ['WAL', 'NORMAL', 3, 0],
  ['WAL', 'FULL', 4, 0],
  ['DELETE', 'FULL', 30, 0],
  ['TRUNCATE', 'FULL', 30, 5],
  ['PERSIST', 'FULL', 30, 5],
] as const)('%s, synchronous=%s: a transaction of one page', async (mode, synchronous, most, mostOfRead) => {
  const client = new SqlClient(path.join(mount, `${mode}-${synchronous}.db`))
  await using _client = client
  await client.exec(`PRAGMA journal_mode = ${mode}`)
  await client.exec(`PRAGMA synchronous = ${synchronous}`)
  await client.exec('PRAGMA wal_autocheckpoint = 0')
  await client.exec('CREATE TABLE t(id INTEGER PRIMARY KEY, n); INSERT INTO t VALUES (1, 0)')
  await client.exec('UPDATE t SET n = n + 1')
  const write = await requestsOf(client, 'UPDATE t SET n = n + 1')
  const read = await requestsOf(client, 'SELECT n FROM t')
  console.log(`${mode} ${synchronous}: a write ${JSON.stringify(write)}, a read ${JSON.stringify(read)}`)
  expect(total(write)).toBeGreaterThanOrEqual(2)
  expect(total(write)).toBeLessThanOrEqual(most)
  expect(total(read)).toBeLessThanOrEqual(mostOfRead)
})
