import fastify from 'fastify'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { temporaryDirectories } from '../backup/testing.ts'
import { registerStream } from './primary/route.ts'
import { type TestNodeOptions, TestPrimary } from './testing/primary.ts'
import { RawReplica } from './testing/raw-replica.ts'
import { TestReplica } from './testing/replica.ts'
import { until } from './testing/until.ts'
import { DATABASE_WINDOW_BYTES } from './wire/flow.ts'
import type { PrimaryMessage } from './wire/messages.ts'
import { CONTENT_TYPE, encodePrimaryMessage, encodeReplicaMessage } from './wire/messages.ts'
import { encodeFrame } from './wire/wire.ts'

vi.setConfig({ testTimeout: 60_000 })

const directory = temporaryDirectories()
const running: { stop(): Promise<void> }[] = []

afterEach(async () => {
  for (const it of running.splice(0).reverse()) await it.stop()
})

async function primary(options?: TestNodeOptions): Promise<TestPrimary> {
  const node = new TestPrimary(await directory(), options)
  await node.listen()
  running.push({ stop: () => node.close() })
  return node
}

function follow(replica: TestReplica, node: Pick<TestPrimary, 'address'>, term?: bigint): TestReplica {
  const client = replica.follow(node.address, term)
  running.push({ stop: () => client.stop() })
  return replica
}

const HELLO = {
  type: 'hello',
  protocol: 2,
  nodeId: 'c'.repeat(16),
  hostname: 'raw',
  url: 'http://x',
  term: 0n,
} as const

/** Ended with the test. */
function rawReplica(port: number): RawReplica {
  const replica = new RawReplica(port)
  running.push({ stop: async () => replica.destroy() })
  return replica
}

describe('who may stream with whom', () => {
  test('a node that does not lead answers 409 and says who does', async () => {
    const node = await primary()
    node.leads = undefined
    const response = await fetch(`${node.address.url}/stream`, { method: 'POST', body: 'x' })
    expect(response.status).toBe(409)
    expect(await response.json()).toMatchObject({ error: { code: 'NOT_PRIMARY' } })
    const replica = follow(new TestReplica(), node)
    await until(
      'the reason is known',
      () => replica.client?.status().lastError?.includes('is not the primary') === true,
    )
    node.create('a.db')
    node.leads = 1n
    await until('it streams', () => replica.databases.has('a.db'))
    expect(replica.lines.filter((line) => line.includes('is not the primary'))).toHaveLength(1)
    expect(replica.client?.status().lastError).toBeUndefined()
  })

  test("another cluster is rejected with its reason; a newcomer adopts the primary's", async () => {
    const node = await primary({ clusterId: 'blue' })
    node.create('a.db')
    const stranger = follow(new TestReplica({ clusterId: 'red' }), node)
    await until(
      'it is rejected',
      () => stranger.client?.status().lastError?.includes('belongs to cluster red') === true,
    )
    expect(stranger.databases.size).toBe(0)
    const newcomer = follow(new TestReplica({ nodeId: 'd'.repeat(16) }), node)
    await until('it streams', () => newcomer.databases.has('a.db'))
    expect(newcomer.cluster).toBe('blue')
  })

  test('I6: a replica that has seen a later term is rejected, and rejects', async () => {
    const node = await primary({ term: 4n })
    node.create('a.db')
    const raw = rawReplica(node.port).read()
    raw.request.write(encodeReplicaMessage({ ...HELLO, term: 5n }))
    await until('it is rejected', () => raw.response?.statusCode === 409)
    const replica = follow(new TestReplica({ term: 5n }), node)
    await until('it is rejected', () => replica.client?.status().lastError?.includes('has seen term 5') === true)
    expect(replica.databases.size).toBe(0)
  })

  test("a node with the primary's own id is rejected", async () => {
    const node = await primary()
    const copy = follow(new TestReplica({ nodeId: node.nodeId }), node)
    await until(
      'it is rejected',
      () => copy.client?.status().lastError?.includes('was the data directory copied') === true,
    )
  })

  test('another protocol version is rejected with its reason', async () => {
    const node = await primary()
    const raw = rawReplica(node.port)
    raw.request.write(encodeReplicaMessage({ ...HELLO, protocol: 1 }))
    await until('it is rejected', () => raw.response !== undefined)
    expect(raw.response?.statusCode).toBe(409)
  })

  test('a second stream of the same node ends the first', async () => {
    const node = await primary()
    const first = rawReplica(node.port).read()
    first.request.write(encodeReplicaMessage(HELLO))
    await until('the first is welcome', () => node.server.replicas().length === 1)
    const second = rawReplica(node.port).read()
    second.request.write(encodeReplicaMessage(HELLO))
    await until('the first was ended', () => first.ended)
    expect(first.messages.at(-1)).toMatchObject({ type: 'end', code: 'REPLACED' })
    expect(node.server.replicas()).toHaveLength(1)
  })
})

describe('the end of a stream', () => {
  test('a term that ends, or goes up, ends all streams; the replica comes back and goes on', async () => {
    const node = await primary({ term: 2n })
    const a = node.create('a.db')
    const replica = follow(new TestReplica(), node, 0n)
    await until('it streams', () => replica.equals(a))
    node.leads = 3n
    await until('the stream was lost', () => replica.lines.some((line) => line.includes('no longer leads in term 2')))
    a.commit(3)
    await until('it goes on', () => replica.equals(a))
    expect(replica.snapshots).toHaveLength(1)
    node.leads = undefined
    a.commit(3)
    await until('it is rejected', () => replica.client?.status().lastError?.includes('is not the primary') === true)
    expect(replica.equals(a)).toBe(false)
    // I6: having applied something of term 3, it does not follow term 2 again. No lease says who leads.
    node.leads = 2n
    await until('it rejects', () => replica.client?.status().lastError?.includes('has seen term 3') === true)
    expect(replica.equals(a)).toBe(false)
  })

  test('close() sends every replica the reason, and rejects later ones', async () => {
    const node = await primary()
    node.create('a.db')
    const replica = follow(new TestReplica(), node)
    await until('it streams', () => replica.databases.has('a.db'))
    await node.server.close('going down for a test')
    await until('it is told', () => replica.lines.some((line) => line.includes('going down for a test')))
    expect(node.server.replicas()).toEqual([])
    await until('it is rejected', () => replica.client?.status().lastError?.includes('is not the primary') === true)
  })

  test('after stop() the sink is not called', async () => {
    const node = await primary()
    const a = node.create('a.db')
    const replica = new TestReplica()
    const client = replica.follow(node.address)
    await until('it streams', () => replica.equals(a))
    a.commit(50)
    await client.stop()
    const count = replica.transactions.length
    a.commit(5)
    await until('the server knows', () => node.server.replicas().length === 0)
    expect(replica.transactions).toHaveLength(count)
    expect(client.status().connected).toBe(false)
  })

  test('the replica disconnects from a primary that falls silent', async () => {
    let requests = 0
    const node = new TestPrimary(await directory())
    await node.listen((incoming, response) => {
      requests++
      incoming.resume()
      const hello = {
        type: 'hello',
        protocol: 2,
        nodeId: node.nodeId,
        hostname: 'mute',
        term: 1n,
        clusterId: 'c',
      } as const
      response.writeHead(200, { 'content-type': CONTENT_TYPE }).write(encodePrimaryMessage(hello))
    })
    running.push({ stop: () => node.close() })
    const replica = follow(new TestReplica(), node)
    await until('it tries again', () => requests > 1)
    expect(replica.lines.some((line) => line.includes('the primary was silent for 3 s'))).toBe(true)
  })
})

describe('a slow or hostile replica', () => {
  test('one that does not read costs no more than the windows, however much there is', async () => {
    const node = await primary({ stream: { stalledMs: 600_000 } })
    const databases = Array.from({ length: 4 }, (_, i) => node.create(`${i}.db`))
    const raw = rawReplica(node.port)
    raw.request.write(encodeReplicaMessage(HELLO))
    raw.request.write(encodeReplicaMessage({ type: 'positions', positions: [], complete: true }))
    const alive = setInterval(() => raw.request.write(encodeReplicaMessage({ type: 'alive' })), 500)
    running.push({ stop: async () => clearInterval(alive) })
    await until('it is welcome', () => node.server.replicas().length === 1)
    const quick = follow(new TestReplica(), node)
    for (let i = 0; i < 14; i++) {
      for (const database of databases) database.commit(1, 400_000)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await until('another replica is not held up', () => databases.every((database) => quick.equals(database)))
    const most = databases.length * (DATABASE_WINDOW_BYTES + 512 * 1024)
    const slow = node.server.replicas().find(({ hostname }) => hostname === 'raw')
    expect(slow?.unconsumedBytes).toBeLessThan(most)
    // It reads, but says that it has consumed nothing.
    raw.read()
    await until('what fits the windows came', () => (slow?.unconsumedBytes ?? 0) <= raw.receivedBytes)
    expect(raw.receivedBytes).toBeLessThan(most)
  })

  test.each([
    ['no frame', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['a frame that is no message', encodeFrame({ hello: 1 })],
    ['a message before "hello"', encodeReplicaMessage({ type: 'alive' })],
    ['a huge length', Buffer.from('ffffffffffffffff', 'hex')],
  ])('%s gets an error as the only answer', async (_, bytes) => {
    const node = await primary()
    const raw = rawReplica(node.port)
    raw.request.write(bytes)
    await until('it is rejected', () => raw.response?.statusCode === 409)
    expect(node.server.replicas()).toEqual([])
  })

  test('credit that was never due ends the stream', async () => {
    const node = await primary()
    const raw = rawReplica(node.port).read()
    raw.request.write(encodeReplicaMessage(HELLO))
    raw.request.write(encodeReplicaMessage({ type: 'positions', positions: [], complete: true }))
    raw.request.write(encodeReplicaMessage({ type: 'credit', database: 'a.db', bytes: 1 }))
    await until('it is ended', () => raw.ended)
    expect(raw.messages.at(-1)).toMatchObject({ type: 'end', code: 'STREAM_PROTOCOL' })
  })

  test('a primary that sends more than there is room for is left', async () => {
    const node = new TestPrimary(await directory())
    await node.listen((incoming, response) => {
      incoming.resume()
      const hello = {
        type: 'hello',
        protocol: 2,
        nodeId: node.nodeId,
        hostname: 'flood',
        term: 1n,
        clusterId: 'c',
      } as const
      response.writeHead(200, { 'content-type': CONTENT_TYPE }).write(encodePrimaryMessage(hello))
      const snapshot = {
        position: { txid: 9n, checksum: 1n << 63n },
        preApplyChecksum: 0n,
        timestampMs: 0,
        sizeBytes: 1 << 30,
        fork: null,
        diverged: false,
        reason: '',
      }
      response.write(encodePrimaryMessage({ type: 'snapshot', database: 'a.db', ...snapshot } as PrimaryMessage))
      for (let i = 0; i < 64; i++)
        response.write(encodePrimaryMessage({ type: 'chunk', database: 'a.db' }, new Uint8Array(512 * 1024)))
    })
    running.push({ stop: () => node.close() })
    const replica = new TestReplica()
    let release = () => {}
    replica.before = () => new Promise<void>((resolve) => (release = resolve))
    follow(replica, node)
    await until('it is left', () => replica.lines.some((line) => line.includes('than there is room for')))
    release()
    expect(replica.databases.size).toBe(0)
  })
})

test('mounted on fastify, the body is not consumed and not limited', async () => {
  const node = new TestPrimary(await directory())
  const api = fastify({ bodyLimit: 1024, forceCloseConnections: true })
  await registerStream(api, (incoming, response) => node.server.handle(incoming, response))
  api.post('/other', (incoming) => ({ got: incoming.body }))
  const url = await api.listen({ host: '127.0.0.1', port: 0 })
  running.push({ stop: () => api.close() }, { stop: () => node.close() })
  const a = node.create('a.db')
  const replica = follow(new TestReplica(), { address: { ...node.self, url } })
  for (let i = 0; i < 40; i++) {
    a.commit(5)
    await until('it follows', () => replica.equals(a))
  }
  expect(await node.server.caughtUp(5_000)).toBe(replica.self.nodeId)
  const json = { method: 'POST', headers: { 'content-type': 'application/json' } }
  const plain = await fetch(`${url}/stream`, { ...json, body: '{}' })
  expect(plain.status).toBe(415)
  const other = await fetch(`${url}/other`, { ...json, body: '{"a":1}' })
  expect(await other.json()).toEqual({ got: { a: 1 } })
})
