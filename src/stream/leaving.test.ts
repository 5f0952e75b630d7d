import { afterEach, expect, test, vi } from 'vitest'
import { temporaryDirectories } from '../backup/testing.ts'
import { TestPrimary } from './testing/primary.ts'
import { RawPrimary } from './testing/raw-primary.ts'
import { TestReplica } from './testing/replica.ts'
import { until } from './testing/until.ts'

vi.setConfig({ testTimeout: 60_000 })

const directory = temporaryDirectories()
const ends: (() => Promise<void>)[] = []
const HANG_MS = 60_000

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

/** A primary, and a replica of it that has everything. */
async function following(candidate = true) {
  const node = new TestPrimary(await directory())
  await node.listen()
  ends.push(() => node.close())
  const replica = new TestReplica({ candidate })
  const client = replica.follow(node.address)
  ends.push(() => client.stop())
  await until('the replica', () => client.status().connected && node.server.hasCopy())
  return { node, replica, client }
}

test('a replica that stops is not made the successor, but counts as a copy', async () => {
  const { node, client } = await following()
  expect(await client.leave(HANG_MS)).toBe(true)
  expect(node.server.replicas()).toMatchObject([{ leaving: true }])
  // At once, although there is time left.
  expect(await node.server.caughtUp(HANG_MS)).toBeUndefined()
  expect(await node.server.caughtUp(HANG_MS, node.server.replicas()[0]?.nodeId)).toBeUndefined()
  expect(node.server.hasCopy()).toBe(true)
})

test('a replica that was made the successor is not told that it may stop: it hears of the end of the stream', async () => {
  const { node, replica, client } = await following()
  expect(await node.server.caughtUp(HANG_MS)).toBe(replica.self.nodeId)
  const left = client.leave(HANG_MS)
  await node.server.close('released')
  expect(await left).toBe(false)
})

test('a replica that stops, or does not apply, cannot be the successor: why is said, and it is not made one', async () => {
  const { node, replica, client } = await following()
  const { nodeId } = replica.self
  expect(await node.server.whyNotSuccessor(HANG_MS, nodeId)).toBeUndefined()
  let goOn = () => {}
  const held = new Promise<void>((resolve) => (goOn = resolve))
  replica.before = () => held
  node.create('a.db').commit()
  expect(await node.server.whyNotSuccessor(50, nodeId)).toMatch(/^it is behind by 2 transactions, and did not apply/)
  goOn()
  expect(await node.server.whyNotSuccessor(HANG_MS, nodeId)).toBeUndefined()
  expect(await node.server.whyNotSuccessor(50, 'c'.repeat(16))).toBe('it is not connected')
  // Asking alone does not keep it from stopping.
  expect(await client.leave(HANG_MS)).toBe(true)
  expect(await node.server.whyNotSuccessor(HANG_MS, nodeId)).toBe('it stops')
})

test('a replica that is no candidate is not made the successor, but counts as a copy', async () => {
  const { node, replica } = await following(false)
  const { nodeId } = replica.self
  let goOn = () => {}
  const held = new Promise<void>((resolve) => (goOn = resolve))
  replica.before = () => held
  node.create('a.db').commit()
  const ended = node.server.caughtUp(HANG_MS)
  goOn()
  expect(await ended).toBeUndefined()
  expect(node.server.hasCopy()).toBe(true)
  expect(await node.server.whyNotSuccessor(HANG_MS, nodeId)).toBe('it is no candidate (lease.candidate: false)')
  const other = new TestReplica({ nodeId: 'c'.repeat(16) })
  const client = other.follow(node.address)
  ends.push(() => client.stop())
  await until('the candidate', () => node.server.replicas().length === 2)
  expect(await node.server.caughtUp(HANG_MS)).toBe(other.self.nodeId)
})

test('a replica without a connection is not told either; a primary of an earlier version is taken to know', async () => {
  const raw = new RawPrimary(await directory())
  await raw.listen()
  ends.push(() => raw.node.close())
  const client = new TestReplica().follow(raw.node.address)
  ends.push(() => client.stop())
  expect(await client.leave(HANG_MS)).toBe(false)
  await until('the connection', () => client.status().connected)
  expect(await client.leave(HANG_MS)).toBe(true)
})

test('each replica knows the others before they get anything, and a node that stops is not known any more', async () => {
  const { node, replica } = await following()
  const second = new TestReplica({ nodeId: 'c'.repeat(16) })
  const client = second.follow(node.address)
  ends.push(() => client.stop())
  const [a, b, c] = [node.nodeId, replica.self.nodeId, second.self.nodeId]
  await until('the second replica', () => second.named.length > 0 && replica.named.length > 1)
  expect(second.named).toEqual([`${a},${b},${c}`])
  expect(replica.named).toEqual([`${a},${b}`, `${a},${b},${c}`])
  expect(await client.leave(HANG_MS)).toBe(true)
  await until('the news', () => replica.named.length > 2)
  expect(replica.named.at(-1)).toBe(`${a},${b}`)
})

test('a replica that cannot be noted gets nothing', async () => {
  const node = new TestPrimary(await directory())
  await node.listen()
  ends.push(() => node.close())
  node.known.meet = () => {
    throw new Error('the disk is full')
  }
  const replica = new TestReplica()
  const client = replica.follow(node.address)
  ends.push(() => client.stop())
  await until('the reason', () => replica.lines.some((line) => line.includes('the disk is full')))
  expect([replica.named, client.status().connected]).toEqual([[], false])
})
