import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { type ClusterMember, TestCluster } from '../harness/cluster.ts'
import { until } from '../harness/wait.ts'
import { SqlClient } from './sql-client.ts'

/** Who leads after a failure: the node that has most. */

const DATABASE = 'app.db'
const isMissing = findTool('consul') === undefined
if (isMissing && process.env['CI'] === 'true') throw new Error('not installed: consul')

const ends: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

describe.skipIf(isMissing)('after the leader was killed', () => {
  test('a replica that a reader holds up leaves the lease to the complete one, and loses nothing it received', async () => {
    const { leader, lagging, complete, reader } = await withReader()
    await leader.node.killTree()
    await explained([lagging, complete], () =>
      until('the lead of the complete one', 60_000, async () => (await complete.status())?.role === 'primary'),
    )
    expect(await rows(complete)).toBe('21')
    await reader[Symbol.asyncDispose]()
    await explained([lagging, complete], () =>
      until('the rows', 60_000, async () => (await rows(lagging).catch(() => '')) === '21'),
    )
  })

  test('a replica that a reader holds up, and is alone, leads with all that it received once the reader ends', async () => {
    const { leader, lagging, complete, reader } = await withReader()
    await complete.node.killTree()
    await leader.node.killTree()
    await explained([lagging], () =>
      until('a reason', 60_000, () => /this node does not lead: database app\.db does not take/.test(log(lagging))),
    )
    await reader[Symbol.asyncDispose]()
    await explained([lagging], () =>
      until('the lead', 60_000, async () => (await lagging.status())?.role === 'primary'),
    )
    expect(await rows(lagging)).toBe('21')
  })
})

test.skipIf(isMissing)('an empty node founds no cluster where one was: it follows the node that has data', async () => {
  const cluster = await TestCluster.start({ nodes: 2 })
  ends.push(() => cluster.stop())
  const leader = await cluster.primary()
  const replica = cluster.members.find((member) => member !== leader) ?? leader
  await using app = open(leader)
  await app.exec('PRAGMA journal_mode = wal; CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1)')
  await until('the row', 60_000, async () => (await rows(replica).catch(() => '')) === '1')
  const id = (await replica.status())?.cluster?.id
  await leader.node.killTree()
  // Consul loses its state.
  await cluster.consul.delete('ltxd?recurse=true')
  const empty = await cluster.add()
  await explained([replica, empty], async () => {
    await empty.node.mounted()
    await until('the row', 60_000, async () => (await rows(empty).catch(() => '')) === '1')
  })
  expect((await empty.status())?.cluster?.id).toBe(id)
  expect(await cluster.primary()).toBe(replica)
  expect(log(empty)).not.toMatch(/founded a new cluster/)
})

test.skipIf(isMissing)(
  'a node that was away does not lead alone when the record is lost: it waits for the others',
  async () => {
    const cluster = await TestCluster.start({ nodes: 3 })
    ends.push(() => cluster.stop())
    const leader = await cluster.primary()
    const [away, replica] = cluster.members.filter((member) => member !== leader) as [ClusterMember, ClusterMember]
    await using app = open(leader)
    await app.exec('PRAGMA journal_mode = wal; CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1)')
    for (const member of [away, replica])
      await until(`the row on ${member.name}`, 60_000, async () => (await rows(member).catch(() => '')) === '1')
    await away.node.killTree()
    await app.exec('INSERT INTO t VALUES (2)')
    await until('the second row', 60_000, async () => (await rows(replica).catch(() => '')) === '2')
    await leader.node.killTree()
    await replica.node.killTree()
    // Consul loses its state.
    await cluster.consul.delete('ltxd?recurse=true')
    await away.restart()
    await explained([away], () =>
      until('the reason', 60_000, () => /one of these nodes may have led last: .*node-\d \(/.test(log(away))),
    )
    await replica.restart()
    await explained([away, replica], () =>
      until('that only one is missing', 60_000, () => log(replica).includes(`led last: ${leader.name} (`)),
    )
    for (const member of [away, replica]) expect((await member.status())?.role).toBe('idle')
    await leader.restart()
    await explained(cluster.members, () => cluster.settled())
    for (const member of cluster.members)
      await until(`the rows on ${member.name}`, 60_000, async () => (await rows(member).catch(() => '')) === '2')
  },
)

/** Three nodes. On one replica a reader is in the middle of a transaction, and 20 rows wait behind it. */
async function withReader() {
  const cluster = await TestCluster.start({ nodes: 3 })
  ends.push(() => cluster.stop())
  const leader = await cluster.primary()
  const [lagging, complete] = cluster.members.filter((member) => member !== leader) as [ClusterMember, ClusterMember]
  await using app = open(leader)
  await app.exec('PRAGMA journal_mode = delete; CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1)')
  for (const member of [lagging, complete])
    await until(`the row on ${member.name}`, 60_000, async () => (await rows(member).catch(() => '')) === '1')
  const reader = open(lagging)
  ends.push(() => reader[Symbol.asyncDispose]())
  await reader.exec('BEGIN; SELECT count(*) FROM t')
  for (let i = 0; i < 20; i++) await app.exec('INSERT INTO t VALUES (1)')
  await until('the complete one', 60_000, async () => (await rows(complete)) === '21')
  await until('the lagging one', 60_000, () => /the database lags/.test(log(lagging)))
  // The leader has sent everything when the lagging one has taken it.
  await until('what is sent', 60_000, async () => {
    const replicas = (await leader.status())?.cluster?.replicas ?? []
    return replicas.some(({ hostname, behind }) => hostname === lagging.name && behind === 20)
  })
  return { leader, lagging, complete, reader }
}

function log({ node }: ClusterMember): string {
  return readFileSync(node.options.logFile, 'utf8')
}

function open(member: ClusterMember): SqlClient {
  return new SqlClient(join(member.mount, DATABASE), { timeoutMs: 30_000 })
}

async function rows(member: ClusterMember): Promise<string> {
  await using app = open(member)
  return String(await app.value('SELECT count(*) FROM t'))
}

async function explained(members: readonly ClusterMember[], wait: () => Promise<unknown>): Promise<void> {
  try {
    await wait()
  } catch (error) {
    const logs = members.map(({ name, node }) => `--- ${name} ---\n${node.logTail(25)}`)
    throw new Error([String(error), ...logs].join('\n'), { cause: error })
  }
}
