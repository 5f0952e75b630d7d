import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { type ClusterMember, TestCluster } from '../harness/cluster.ts'
import { signalProcess } from '../harness/processes.ts'
import { until, within } from '../harness/wait.ts'
import { SqlClient } from './sql-client.ts'

/** A reader on a replica never ends, and a snapshot waits for it. */

const CONFIG = 'data: { segment-size: 1MB, retention: { age: 1s, size: 1MB } }\n'

const isMissing = findTool('consul') === undefined
const ends: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

function open(member: ClusterMember, name: string): SqlClient {
  const client = new SqlClient(join(member.mount, name), { timeoutMs: 60_000 })
  ends.push(() => client[Symbol.asyncDispose]())
  return client
}

async function heldUp(nodes: number) {
  const cluster = await TestCluster.start({ nodes, config: CONFIG, ttl: '10s' })
  ends.push(() => cluster.stop())
  const leader = await cluster.primary()
  const [lagging, ...others] = cluster.members.filter((member) => member !== leader) as [ClusterMember]
  const app = open(leader, 'app.db')
  await app.exec('CREATE TABLE t (n)')
  const other = open(leader, 'other.db')
  await other.exec('CREATE TABLE t (n)')
  const reader = open(lagging, 'app.db')
  await until('the table', 60_000, () => count(reader))
  await reader.exec('BEGIN')
  await count(reader)
  await app.exec('INSERT INTO t VALUES (1)')
  const status = async (member: ClusterMember) =>
    (await member.status())?.databases.find(({ name }) => name === 'app.db')
  await until('the lag', 60_000, async () => (await status(lagging))?.replication?.state === 'lagging')
  const at = (await status(leader))?.position ?? ''
  // Away for so long that the primary has only a snapshot for it.
  signalProcess(lagging.node.pid, 'SIGSTOP')
  ends.push(() => Promise.resolve(signalProcess(lagging.node.pid, 'SIGCONT')))
  await until('the end of the stream', 60_000, async () => {
    return (await leader.status())?.cluster?.replicas.length === nodes - 2
  })
  await until('a cut log', 60_000, async () => {
    await app.exec('INSERT INTO t VALUES (randomblob(400000))')
    return ((await status(leader))?.logFirstTXID ?? '') > at.slice(0, 16)
  })
  const log = () => readFileSync(lagging.node.options.logFile, 'utf8')
  const { length } = log()
  signalProcess(lagging.node.pid, 'SIGCONT')
  await until('a snapshot', 60_000, () => /applying a snapshot/.test(log().slice(length)))
  await other.exec('INSERT INTO t VALUES (1)')
  const rows = open(lagging, 'other.db')
  await until('the row', 60_000, async () => (await count(rows)) === 1)
  return { cluster, leader, lagging, others, reader, rows }
}

function count(client: SqlClient): Promise<unknown> {
  return client.value('SELECT count(*) FROM t').catch(() => undefined)
}

describe.skipIf(isMissing)('a replica on which a reader holds up a database for ever', () => {
  test('stops when it is told to', async () => {
    const { lagging } = await heldUp(2)
    await within('the end of the node', 60_000, lagging.node.stop())
  }, 180_000)

  test('follows the next primary in every other database', async () => {
    const { leader, others, cluster, reader, rows } = await heldUp(3)
    await leader.node.killTree()
    const [next] = others as ClusterMember[] as [ClusterMember]
    expect(await cluster.primary({ not: leader })).toBe(next)
    const writer = open(next, 'other.db')
    await writer.exec('INSERT INTO t VALUES (2)')
    await until('the row', 60_000, async () => (await count(rows)) === 2)
    expect(await count(reader)).toBe(0)
    await reader.exec('COMMIT')
    const there = await count(open(next, 'app.db'))
    await until('the held up database', 60_000, async () => (await count(reader)) === there)
  }, 240_000)
})
