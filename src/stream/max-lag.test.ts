import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test, vi } from 'vitest'
import { temporaryDirectories } from '../backup/testing.ts'
import { TestPrimary } from './testing/primary.ts'
import { TestReplica } from './testing/replica.ts'
import { until } from './testing/until.ts'

vi.setConfig({ testTimeout: 120_000 })

const directory = temporaryDirectories()
const ends: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

/** Commits as fast as it may. */
async function busyPrimary(stuckMs?: number) {
  const stream = { maxLagMs: 500, ...(stuckMs !== undefined && { stuckMs }) }
  const node = new TestPrimary(await directory(), { stream })
  const paced = { intervalMs: 0, committed: 0, isOver: false }
  const paceCommits = (_: string, intervalMs: number) => void (paced.intervalMs = intervalMs)
  Object.assign(node, { paceCommits })
  await node.listen()
  ends.push(() => node.close())
  const a = node.create('a.db')
  const replica = new TestReplica()
  replica.copy(a)
  const client = replica.follow(node.address)
  ends.push(() => client.stop())
  const commits = async () => {
    for (; !paced.isOver; paced.committed++) {
      a.execute('UPDATE t SET v = randomblob(50) WHERE rowid = 1')
      await sleep(Math.max(1, paced.intervalMs))
    }
  }
  a.commit(1)
  await until('the replica', () => replica.databases.get('a.db')?.position?.txid === a.position.txid)
  const writer = commits()
  ends.push(() => {
    paced.isOver = true
    return writer
  })
  return { node, replica, client, paced }
}

test('a primary commits no faster than a slow replica applies, and says so', async () => {
  const { node, replica, paced } = await busyPrimary()
  replica.before = () => sleep(30)
  await until('slow commits', () => paced.intervalMs > 0)
  await until('200 transactions', () => replica.transactions.length > 60)
  const before = { applied: replica.transactions.length, committed: paced.committed }
  await until('100 more', () => replica.transactions.length > before.applied + 100)
  expect(paced.committed - before.committed).toBeLessThan(2 * (replica.transactions.length - before.applied))
  expect(node.server.intervalsMs.get('a.db') ?? 0).toBe(paced.intervalMs)
  expect(node.lines.filter((line) => line.includes('commits are slowed down'))).toHaveLength(1)
  replica.before = () => {}
  await until('fast commits', () => paced.intervalMs === 0)
  expect(node.server.intervalsMs.size).toBe(0)
})

test('a primary commits on at full speed once a replica that takes nothing does not count, or is gone', async () => {
  const { replica, client, paced } = await busyPrimary(2_000)
  let go = () => {}
  const gate = new Promise<void>((resolve) => (go = resolve))
  replica.before = () => gate
  await until('slow commits', () => paced.intervalMs > 0)
  await until('fast commits', () => paced.intervalMs === 0)
  go()
  replica.before = () => sleep(30)
  await until('slow commits again', () => paced.intervalMs > 0)
  void client.stop()
  await until('no replica', () => paced.intervalMs === 0)
  const { committed } = paced
  await until('commits', () => paced.committed > committed + 20)
})
