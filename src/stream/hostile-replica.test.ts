import { afterEach, expect, test, vi } from 'vitest'
import { temporaryDirectories } from '../backup/testing.ts'
import type { Position } from '../ltx/format/types.ts'
import { TestPrimary } from './testing/primary.ts'
import { RawReplica } from './testing/raw-replica.ts'
import { TestReplica } from './testing/replica.ts'
import { until } from './testing/until.ts'
import {
  encodeReplicaMessage,
  MAX_NAMES as DEFAULT_MAX_NAMES,
  positionMessages,
  PROTOCOL_VERSION,
} from './wire/messages.ts'

vi.setConfig({ testTimeout: 60_000 })

const directory = temporaryDirectories()
const running: { stop(): Promise<void> }[] = []

afterEach(async () => {
  for (const it of running.splice(0).reverse()) await it.stop()
})

const MAX_NAMES = 2_000
const AT = { txid: 1n, checksum: 1n << 63n } as Position

async function connect(maxNames = MAX_NAMES): Promise<{ node: TestPrimary; replica: RawReplica }> {
  const node = new TestPrimary(await directory(), { stream: { maxNames } })
  await node.listen()
  const replica = new RawReplica(node.port).read()
  running.push({ stop: () => node.close() }, { stop: async () => replica.destroy() })
  const about = { protocol: PROTOCOL_VERSION, hostname: 'raw', url: 'http://x', term: 0n }
  replica.request.write(encodeReplicaMessage({ type: 'hello', nodeId: 'c'.repeat(16), ...about }))
  return { node, replica }
}

function announce(replica: RawReplica, count: number): void {
  const all = Array.from({ length: count }, (_, i): [string, Position] => [`${i}.db`, AT])
  for (const positions of positionMessages(all)) {
    replica.request.write(encodeReplicaMessage({ type: 'positions', positions, complete: false }))
  }
}

test('I10: a replica that announces more databases than allowed is cut off', async () => {
  const { replica } = await connect()
  announce(replica, MAX_NAMES + 1)
  await until('it is ended', () => replica.types.includes('end'))
  expect(replica.messages.at(-1)).toMatchObject({ reason: expect.stringContaining(`more than ${MAX_NAMES}`) as string })
})

test('I10: restarts of databases that nobody has count as names, and fill no log', async () => {
  const { node, replica } = await connect()
  announce(replica, MAX_NAMES)
  replica.request.write(encodeReplicaMessage({ type: 'positions', positions: [], complete: true }))
  for (let i = 0; i < 2_000; i++) {
    const about = { database: '0.db', number: i + 1, position: AT, reason: 'x'.repeat(4_000) }
    replica.request.write(encodeReplicaMessage({ type: 'restart', ...about }))
  }
  const about = { database: 'one-more.db', number: 1, position: AT, reason: '' }
  replica.request.write(encodeReplicaMessage({ type: 'restart', ...about }))
  await until('it is ended', () => replica.types.includes('end'))
  const bytes = node.lines.reduce((sum, line) => sum + line.length, 0)
  expect(bytes).toBeLessThan(500_000)
})

test('I10: connections that never say who they are leave room for replicas, and there is an end to replicas', async () => {
  const node = new TestPrimary(await directory(), { stream: { maxStreams: 3 } })
  await node.listen()
  running.push({ stop: () => node.close() })
  const a = node.create('a.db')
  a.commit(3)
  const raw = () => {
    const replica = new RawReplica(node.port).read()
    running.push({ stop: async () => replica.destroy() })
    replica.request.flushHeaders()
    return replica
  }
  const silent = Array.from({ length: 10 }, raw)
  await until('most of them are closed', () => silent.filter(({ ended }) => ended).length >= 7)
  const good = new TestReplica()
  const client = good.follow(node.address)
  running.push(client)
  await until('the replica has the database', () => good.equals(a))

  const about = { protocol: PROTOCOL_VERSION, hostname: 'raw', url: 'http://x', term: 0n }
  const answers: (number | undefined)[] = []
  for (const digit of ['c', 'd', 'e', 'f']) {
    const stranger = raw()
    stranger.request.write(encodeReplicaMessage({ type: 'hello', nodeId: digit.repeat(16), ...about }))
    await until('an answer', () => stranger.response !== undefined)
    answers.push(stranger.response?.statusCode)
  }
  expect(answers).toEqual([200, 200, 409, 409])
  expect(node.server.replicas().length).toBe(3)
  a.commit(4)
  await until('the replica goes on', () => good.equals(a))
})

test('I10: a replica that announces 300,000 databases is cut off, and others are served meanwhile', async () => {
  const { node, replica } = await connect(DEFAULT_MAX_NAMES)
  const a = node.create('a.db')
  a.commit(3, 10_000)
  const before = process.memoryUsage().heapUsed
  announce(replica, 300_000)
  const good = new TestReplica()
  const client = good.follow(node.address)
  await until('it is ended', () => replica.types.includes('end') || replica.ended)
  await until('the other has the database', () => good.equals(a))
  await client.stop()
  await until('nothing of it remains', () => node.server.replicas().length === 0)
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(300 << 20)
  expect(node.lines.filter((line) => line.includes(`more than ${DEFAULT_MAX_NAMES}`))).toHaveLength(1)
})
