import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { TestCluster } from '../harness/cluster.ts'
import { until } from '../harness/wait.ts'
import { losses } from './acknowledgements.ts'
import { SqlClient } from './sql-client.ts'
import { WrittenCluster } from './written-cluster.ts'

const TTL_NS = 3_000_000_000n
let undo: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const one of undo.reverse()) await one()
  undo = []
})

const WAYS = {
  killed: {
    leave: (cluster: TestCluster) => cluster.consul.kill(),
    comeBack: (cluster: TestCluster) => cluster.consul.run(),
  },
  frozen: {
    leave: (cluster: TestCluster) => Promise.resolve(cluster.consul.freeze()),
    comeBack: (cluster: TestCluster) => Promise.resolve(cluster.consul.thaw()),
  },
} as const

test.each(['killed', 'frozen'] as const)(
  'with Consul %s beyond the TTL no node acknowledges a commit after the deadline, until Consul is back',
  async (way) => {
    const written = await WrittenCluster.start({ nodes: 2, ttl: '3s' })
    undo.push(() => written.stop())
    const { cluster } = written
    try {
      written.resume()
      const leader = await cluster.primary()
      await written.writesOn(leader, process.hrtime.bigint())
      await WAYS[way].leave(cluster)
      const leftAt = process.hrtime.bigint()
      await until('the end of all leads', 60_000, async () => {
        const states = await Promise.all(cluster.members.map((member) => member.status()))
        return states.every((status) => status?.role === 'idle' || status?.role === 'replica')
      })
      // Longer than any take-over takes.
      const quietFrom = process.hrtime.bigint()
      await until('twice the TTL', 60_000, () => process.hrtime.bigint() > quietFrom + 2n * TTL_NS)
      const late = written.acknowledgements().filter(({ began }) => began > leftAt + TTL_NS)
      expect(late).toEqual([])
      // Reads still work.
      await using reader = new SqlClient(join(leader.mount, 'wal.db'))
      expect(Number(await reader.value('SELECT count(*) FROM entry'))).toBeGreaterThan(0)
      await WAYS[way].comeBack(cluster)
      const backAt = process.hrtime.bigint()
      const next = await cluster.primary()
      await written.writesOn(next, backAt)
      const present = await written.quiet()
      expect(losses(written.acknowledgements(), present).findings).toEqual([])
      console.log(`${way}: ${next.name === leader.name ? 'the same node' : 'the other node'} leads afterwards`)
    } catch (error) {
      throw written.explain(error)
    }
  },
)

test('applications do not notice a short absence of Consul', async () => {
  const written = await WrittenCluster.start({ nodes: 2, ttl: '6s' })
  undo.push(() => written.stop())
  const { cluster } = written
  try {
    written.resume()
    const leader = await cluster.primary()
    for (let i = 0; i < 3; i++) {
      cluster.consul.freeze()
      const frozenAt = process.hrtime.bigint()
      await until('a second', 60_000, () => process.hrtime.bigint() > frozenAt + 1_000_000_000n)
      cluster.consul.thaw()
      await written.writesOn(leader, process.hrtime.bigint())
    }
    const present = await written.quiet()
    expect(losses(written.acknowledgements(), present)).toEqual({ losses: [], findings: [] })
    expect((await cluster.primary()).name).toBe(leader.name)
    expect(new Set(written.terms.holders()).size).toBe(1)
  } catch (error) {
    throw written.explain(error)
  }
})

test('a node that starts while Consul is away logs it, waits, and joins by itself', async () => {
  const cluster = await TestCluster.start({ nodes: 1, ttl: '3s' })
  undo.push(() => cluster.stop())
  const first = await cluster.primary()
  await using application = new SqlClient(join(first.mount, 'a.db'))
  await application.exec('CREATE TABLE t (a); INSERT INTO t VALUES (1)')
  await application.close()
  expect((await first.node.stop()).code).toBe(0)
  await cluster.consul.kill()
  await first.restart()
  const second = await cluster.add()
  for (const member of cluster.members) {
    await until('a log line about Consul', 60_000, () => /consul/i.test(member.node.logTail()))
    expect(member.node.running).toBe(true)
    expect((await member.status())?.role ?? 'idle').toBe('idle')
  }
  await cluster.consul.run()
  await first.node.mounted()
  await second.node.mounted()
  const leader = await cluster.settled()
  await using writer = new SqlClient(join(leader.mount, 'a.db'), { timeoutMs: 30_000 })
  await writer.exec('INSERT INTO t VALUES (2)')
  const other = cluster.members.find((member) => member !== leader) ?? leader
  await until('the same on both', 60_000, async () => {
    const all = await Promise.all([leader.status(), other.status()])
    return all[0]?.databases[0]?.position === all[1]?.databases[0]?.position
  })
  await using reader = new SqlClient(join(other.mount, 'a.db'), { timeoutMs: 30_000 })
  expect(await reader.all('SELECT a FROM t ORDER BY a')).toEqual([[1], [2]])
})
