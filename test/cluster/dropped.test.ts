import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import type { ClusterMember } from '../harness/cluster.ts'
import { HANG_MS } from '../harness/effort.ts'
import { until } from '../harness/wait.ts'
import { TwoNodes } from './two-nodes.ts'

let nodes: TwoNodes

beforeAll(async () => {
  nodes = await TwoNodes.start()
}, HANG_MS)
afterAll(() => nodes[Symbol.asyncDispose]())

async function make(member: ClusterMember, name: string): Promise<void> {
  const client = nodes.open(member, name, { timeoutMs: 30_000 })
  await client.exec('CREATE TABLE t(x); INSERT INTO t VALUES (1)')
  await client.close()
}

/** The position of the drop; undefined while there is more. */
function remains({ data }: ClusterMember, name: string): string | undefined {
  const dir = join(data, 'log', `${name}.ltx`)
  if (!existsSync(dir) || readdirSync(dir).join() !== 'base.json') return undefined
  return (JSON.parse(readFileSync(join(dir, 'base.json'), 'utf8')) as { position: string }).position
}

const txidOf = (position: string) => BigInt(`0x${position.slice(0, 16)}`)

/** Drops it, and waits until only the position of the drop remains on these nodes. */
async function drop(name: string, ...members: ClusterMember[]): Promise<bigint> {
  const { code, output } = await nodes.shell('rm "$1"', join(nodes.primary.mount, name))
  expect(code, output).toBe(0)
  const positions = await Promise.all(
    members.map((member) => until(`only the drop of ${name} on ${member.name}`, 60_000, () => remains(member, name))),
  ).catch((error: unknown) => {
    throw nodes.explain(error)
  })
  expect(new Set(positions).size).toBe(1)
  return txidOf(positions[0] ?? '')
}

async function txid(member: ClusterMember, name: string): Promise<bigint> {
  return txidOf((await nodes.status(member, name))?.position ?? '0')
}

test.skipIf(findTool('consul') === undefined)(
  'a dropped name goes on from its drop: on a replica, on one that was away, and when that one leads',
  { timeout: HANG_MS },
  async () => {
    const { primary, replica } = nodes
    await make(primary, 'stays.db')
    await make(primary, 'a.db')
    await nodes.same()
    const first = await drop('a.db', primary, replica)
    await make(primary, 'a.db')
    await nodes.same('a.db')
    expect(await txid(replica, 'a.db')).toBeGreaterThan(first)

    // Some are gone before their snapshot is at the replica, or before it has begun.
    for (let i = 0; i < 8; i++) {
      await make(primary, `brief-${i}.db`)
      expect(await drop(`brief-${i}.db`, primary, replica)).toBeGreaterThan(0n)
    }

    await make(primary, 'away.db')
    await nodes.same()
    await replica.node.stop()
    const client = nodes.open(primary, 'away.db')
    for (let i = 0; i < 3; i++) await client.exec('INSERT INTO t VALUES (2)')
    await client.close()
    const away = await drop('away.db', primary)
    await replica.restart()
    await until('the replica to know of the drop', 60_000, () => remains(replica, 'away.db') !== undefined)
    expect(txidOf(remains(replica, 'away.db') ?? '')).toBe(away)
    expect(existsSync(join(replica.mount, 'away.db'))).toBe(false)
    expect(existsSync(join(replica.data, 'diverged', 'away.db'))).toBe(false)

    await nodes.same()
    await primary.node.stop()
    expect(await nodes.cluster.primary()).toBe(replica)
    await make(replica, 'away.db')
    expect(await txid(replica, 'away.db')).toBeGreaterThan(away)
    await primary.restart()
    await nodes.cluster.settled()
    await until('the same on both', 60_000, async () => (await txid(primary, 'away.db')) > away)
    expect(await nodes.open(primary, 'away.db').value('SELECT count(*) FROM t')).toBe(1)
  },
)
