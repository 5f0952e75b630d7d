import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { ltxd } from '../cli/run.ts'
import { type ClusterMember, TestCluster } from '../harness/cluster.ts'
import { shorten } from '../harness/limits.ts'
import { findS3Server, S3Server } from '../harness/s3-server.ts'
import { until } from '../harness/wait.ts'
import { divergedTransactions } from './diverged.ts'
import { SqlClient } from './sql-client.ts'

/** Which node may lead next: one that has every acknowledged transaction, or can read the rest from the backup. */

const DATABASE = 'app.db'
const missing = [...(findTool('consul') ? [] : ['consul']), ...(findS3Server('versitygw') ? [] : ['versitygw'])]
if (missing.length > 0 && process.env['CI'] === 'true') throw new Error(`not installed: ${missing.join(', ')}`)

shorten({ uploadMs: 4_000 })
const before = { ...process.env }
const ends: (() => Promise<unknown> | void)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
  process.env = { ...before }
})

describe.skipIf(missing.length > 0)('without a backup', () => {
  test('a node that was down while another led waits for the other, and follows it', async () => {
    const [first, second] = await secondLedLast()
    const asked = await ltxd(['promote', '--data', first.data])
    expect([asked.code, asked.stderr]).toEqual([1, expect.stringMatching(/node-2|no node answers/)])
    expect((await first.status())?.role).not.toBe('primary')
    await second.restart()
    await leads(second)
    await first.node.mounted()
    await has(first, 3)
    expect(count(first, /node-2 led later than this node's history reaches/g)).toBe(1)
  })

  test('with "promote --force" it leads without the other, which moves its own transactions to diverged/', async () => {
    const [first, second, cluster] = await secondLedLast()
    expect(await ltxd(['promote', '--force', '--data', first.data])).toMatchObject({ code: 0 })
    await said(first, /leading on request without the transactions that another node committed.*host=node-2.*term=2/)
    await write(first, 4)
    await second.restart()
    await second.node.mounted()
    await has(second, 5)
    expect(await sum(first)).toBe(5)
    expect(divergedTransactions(cluster.members, DATABASE)).toBe(1)
  })

  test('a node that stops with transactions that no other has leads next', async () => {
    const cluster = await start()
    const [first, second] = cluster.members as [ClusterMember, ClusterMember]
    await second.node.kill()
    await write(first, 2)
    expect((await first.node.stop()).code).toBe(0)
    await said(first, /no other node is known to have everything that was committed here/)
    await second.restart()
    await said(
      second,
      /node-1 has transactions that no other node is known to have \(term 1\), so this node does not lead/,
    )
    await first.restart()
    await leads(first)
    await second.node.mounted()
    await has(second, 3)
  })

  /** Both nodes have row 1, and the second alone has row 2. Only the first runs, and it waits for the second. */
  async function secondLedLast(): Promise<[ClusterMember, ClusterMember, TestCluster]> {
    const cluster = await start()
    const [first, second] = cluster.members as [ClusterMember, ClusterMember]
    expect((await first.node.stop()).code).toBe(0)
    await leads(second)
    await write(second, 2)
    await second.node.kill()
    await first.restart()
    await said(first, /node-2 led later than this node's history reaches \(term 2\), so this node does not lead/)
    return [first, second, cluster]
  }
})

describe.skipIf(missing.length > 0)('with a backup', () => {
  test('that does not answer, the last leader leads again, even after others have tried', async () => {
    const server = await s3()
    const cluster = await start(await server.freshUrl('last'))
    const [first, second] = cluster.members as [ClusterMember, ClusterMember]
    const term = await termOf(cluster)
    await server.kill()
    await first.node.killTree()
    await until('three attempts', 60_000, async () => (await termOf(cluster)) >= term + 3n)
    expect(count(second, /could not take over: .*nothing listens there/g)).toBe(1)
    await first.restart()
    await said(first, /leading again without reading the backup, which does not answer/)
    await leads(first)
    await write(first, 2)
    await server.run()
    await shipped(first)
    expect(await sum(first)).toBe(3)
  })

  test('that rejects a node, this node does not take over and says why; the last leader leads again', async () => {
    const server = await s3()
    const cluster = await start(await server.freshUrl('refused'), 1)
    const [first] = cluster.members as [ClusterMember]
    process.env['AWS_SECRET_ACCESS_KEY'] = 'wrong'
    const second = await cluster.add()
    await cluster.settled()
    await first.node.killTree()
    const term = await termOf(cluster)
    await until('two attempts', 60_000, async () => (await termOf(cluster)) >= term + 2n)
    expect(count(second, /could not take over: .*check AWS_ACCESS_KEY_ID/g)).toBe(1)
    expect([second.node.running, (await second.status())?.role]).toEqual([true, expect.not.stringMatching('primary')])
    await first.restart()
    await said(first, /leading again without reading the backup, which rejects this node/)
    await leads(first)
    await write(first, 2)
  })

  test('a stop soon after a fail-over waits to ship the rest and says so; with nothing to ship it does not wait', async () => {
    const server = await s3()
    const cluster = await start(await server.freshUrl('stop'))
    const [first, second] = cluster.members as [ClusterMember, ClusterMember]
    await first.node.killTree()
    await leads(second)
    expect((await second.node.stop()).code).toBe(0)
    expect(count(second, /before the last upload/g)).toBe(0)
    await second.restart()
    await leads(second)
    await write(second, 2)
    expect((await second.node.stop()).code).toBe(0)
    await said(second, /waiting \d+ s before the last upload, because uploads of an earlier primary/)
    await second.node.destroy()
    await second.restart({ fresh: true })
    await leads(second)
    expect(await sum(second)).toBe(3)
  })
})

/** Starts nodes that all have one row, 1. */
async function start(backup?: string, nodes = 2): Promise<TestCluster> {
  const cluster = await TestCluster.start({ nodes, ...(backup !== undefined && { backup }) })
  ends.push(() => cluster.stop())
  const leader = await cluster.primary()
  await using app = open(leader)
  await app.exec('PRAGMA journal_mode = wal; CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1)')
  for (const member of cluster.members) await has(member, 1)
  if (backup !== undefined) await shipped(leader)
  return cluster
}

async function s3(): Promise<S3Server> {
  const server = await S3Server.start('versitygw')
  ends.push(() => server.stop())
  Object.assign(process.env, server.environment)
  return server
}

function open(member: ClusterMember): SqlClient {
  return new SqlClient(join(member.mount, DATABASE), { timeoutMs: 30_000 })
}

async function write(member: ClusterMember, n: number): Promise<void> {
  await using app = open(member)
  await app.exec(`INSERT INTO t VALUES (${n})`)
}

async function sum(member: ClusterMember): Promise<number | undefined> {
  await using app = open(member)
  try {
    return Number(await app.value('SELECT sum(n) FROM t'))
  } catch {
    return undefined
  }
}

/** Waits until the mounted node has rows of this sum. Before the mount, SQLite would make a file below it. */
async function has(member: ClusterMember, expected: number): Promise<void> {
  await using app = open(member)
  const found = async () => {
    try {
      return Number(await app.value('SELECT sum(n) FROM t'))
    } catch {
      return undefined
    } finally {
      await app.close()
    }
  }
  await explained(member, () =>
    until(`${expected} on ${member.name}`, 60_000, async () => (await found()) === expected),
  )
}

async function termOf({ consul }: TestCluster): Promise<bigint> {
  const { term } = JSON.parse((await consul.get('ltxd/primary')) ?? '{"term":"0"}') as { term: string }
  return BigInt(term)
}

async function leads(member: ClusterMember): Promise<void> {
  await explained(member, () =>
    until(`the lead of ${member.name}`, 60_000, async () => (await member.status())?.role === 'primary'),
  )
}

async function shipped(member: ClusterMember): Promise<void> {
  await explained(member, () =>
    until('the backup', 60_000, async () => {
      const database = (await member.status())?.databases.find(({ name }) => name === DATABASE)
      return database?.backup !== undefined && database.backup.txid === database.position.split('/')[0]
    }),
  )
}

function count({ node }: ClusterMember, what: RegExp): number {
  return readFileSync(node.options.logFile, 'utf8').match(what)?.length ?? 0
}

async function said(member: ClusterMember, what: RegExp): Promise<void> {
  await explained(member, () => until(`${String(what)} from ${member.name}`, 60_000, () => count(member, what) > 0))
}

async function explained(member: ClusterMember, wait: () => Promise<unknown>): Promise<void> {
  try {
    await wait()
  } catch (error) {
    throw member.node.explain(error)
  }
}
