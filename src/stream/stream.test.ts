import { afterEach, describe, expect, test, vi } from 'vitest'
import { temporaryDirectories } from '../backup/testing.ts'
import { toTXID } from '../ltx/format/types.ts'
import { type TestNodeOptions, TestPrimary } from './testing/primary.ts'
import type { PrimaryDatabase } from './testing/primary-database.ts'
import type { ReplicaDatabase } from './testing/replica.ts'
import { TestReplica } from './testing/replica.ts'
import { until } from './testing/until.ts'

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

function follow(replica: TestReplica, node: TestPrimary, term?: bigint): TestReplica {
  const client = replica.follow(node.address, term)
  running.push({ stop: () => client.stop() })
  return replica
}

const equal = (replica: TestReplica, ...databases: PrimaryDatabase[]) =>
  until('the replica has what the primary has', () => databases.every((database) => replica.equals(database)))

describe('what continues a replica', () => {
  test('a newcomer gets a snapshot, then every transaction, one by one', async () => {
    const node = await primary()
    const a = node.create('a.db')
    a.commit(5)
    const replica = follow(new TestReplica(), node)
    await equal(replica, a)
    expect(replica.snapshots).toMatchObject([{ position: { txid: 6n }, fork: undefined, diverged: false }])
    expect(replica.snapshots[0]?.preApplyChecksum).toBe(a.positions[4]?.checksum)
    a.commit(20)
    await equal(replica, a)
    expect(replica.transactions).toEqual(Array.from({ length: 20 }, (_, i) => `a.db ${i + 7}`))
    expect(replica.snapshots).toHaveLength(1)
  })

  test('a replica goes on from any position that the log continues', async () => {
    const node = await primary()
    const a = node.create('a.db', 4_000)
    for (let txid = 1; txid <= 12; txid++) {
      const replica = new TestReplica({ nodeId: txid.toString(16).padStart(16, '0') })
      replica.copy(a)
      a.commit(3)
      follow(replica, node)
      await equal(replica, a)
      expect(replica.snapshots).toEqual([])
      expect(replica.transactions).toHaveLength(3)
    }
  })

  test('a replica that has everything gets nothing, and is caught up', async () => {
    const node = await primary()
    const a = node.create('a.db')
    const replica = new TestReplica()
    replica.copy(a)
    follow(replica, node)
    await until('caught up', () => replica.caughtUpCount === 1)
    expect([replica.snapshots, replica.transactions]).toEqual([[], []])
    expect(await node.server.caughtUp(5_000)).toBe(replica.self.nodeId)
  })

  test('a replica behind the log gets a snapshot', async () => {
    const node = await primary()
    const a = node.create('a.db', 2_000)
    const replica = new TestReplica()
    replica.copy(a)
    a.commit(30)
    a.removeSegments()
    follow(replica, node)
    await equal(replica, a)
    expect(replica.snapshots).toMatchObject([{ diverged: false, fork: undefined }])
    expect(replica.snapshots[0]?.reason).toMatch(/no longer holds what follows/)
  })

  test('retention in the middle of a stream is made good by a snapshot', async () => {
    const node = await primary()
    const a = node.create('a.db', 2_000)
    const replica = new TestReplica()
    let release = () => {}
    const held = new Promise<void>((resolve) => (release = resolve))
    let begun = false
    replica.before = () => {
      begun = true
      return held
    }
    a.commit()
    follow(replica, node)
    await until('a snapshot is under way', () => begun)
    a.commit(20)
    a.removeSegments()
    release()
    await equal(replica, a)
    expect(replica.snapshots.length).toBeGreaterThan(1)
  })

  test('a log that was replaced underneath is read anew', async () => {
    const node = await primary()
    const a = node.create('a.db')
    const replica = follow(new TestReplica(), node)
    a.commit(10)
    await equal(replica, a)
    a.rebase(a.position)
    a.commit(10)
    await equal(replica, a)
    a.rebase({ ...a.position, txid: toTXID(500) })
    a.commit(3)
    await equal(replica, a)
    expect(replica.databases.get('a.db')?.position?.txid).toBe(503n)
  })

  test.each([
    ['on an equal number', 3, 3],
    ['ahead', 3, 6],
    ['behind', 6, 3],
  ])('another history, %s: the last common transaction is found', async (_, here, there) => {
    const node = await primary()
    const a = node.create('a.db')
    a.commit(10)
    const replica = new TestReplica()
    replica.copy(a)
    const fork = a.position.txid
    const history = replica.databases.get('a.db')?.history ?? []
    for (let i = 1; i <= there; i++)
      history.push({ txid: toTXID(fork + BigInt(i)), checksum: toTXID((1n << 63n) + BigInt(i)) as never })
    a.commit(here)
    follow(replica, node)
    await equal(replica, a)
    expect(replica.snapshots).toMatchObject([{ fork, diverged: true }])
  })

  test('another history altogether has no common transaction', async () => {
    const node = await primary()
    const a = node.create('a.db')
    a.commit(4)
    const other = (await primary()).create('a.db')
    other.commit(8)
    const replica = new TestReplica()
    replica.copy(other)
    follow(replica, node)
    await equal(replica, a)
    expect(replica.snapshots).toMatchObject([{ fork: undefined, diverged: true }])
  })

  test('a database that the primary has not is unknown; one that appears later is streamed', async () => {
    const node = await primary()
    const replica = new TestReplica()
    replica.copy((await primary()).create('old.db'))
    follow(replica, node)
    await until('the unknown database is told', () => replica.unknowns.includes('old.db'))
    const fresh = node.create('new.db')
    fresh.commit(2)
    const again = node.create('old.db')
    again.commit(4)
    await equal(replica, fresh, again)
    expect(await node.server.caughtUp(5_000)).toBe(replica.self.nodeId)
  })

  test('a dropped database is a transaction; so is its return', async () => {
    const node = await primary()
    const a = node.create('a.db')
    const replica = follow(new TestReplica(), node)
    await equal(replica, a)
    a.drop()
    await equal(replica, a)
    expect(replica.databases.get('a.db')?.pages).toEqual([])
    a.recreate()
    a.commit(3)
    await equal(replica, a)
    expect(replica.snapshots).toHaveLength(1)
  })

  test('a newcomer gets nothing of a database that was dropped, and all of it when it returns', async () => {
    const node = await primary()
    const a = node.create('a.db')
    a.drop()
    const replica = follow(new TestReplica(), node)
    await until('caught up', () => replica.caughtUpCount === 1)
    expect(await node.server.caughtUp(5_000)).toBe(replica.self.nodeId)
    expect(replica.databases.size).toBe(0)
    a.recreate()
    await equal(replica, a)
  })
})

describe('several databases', () => {
  test('large transactions and small ones of many databases all arrive, each in order', async () => {
    const node = await primary()
    const databases = Array.from({ length: 12 }, (_, i) => node.create(`tenants/${i}.db`))
    const replica = follow(new TestReplica(), node)
    for (let round = 0; round < 10; round++) {
      for (const [i, database] of databases.entries())
        database.commit(1 + ((i + round) % 3), i === round ? 900_000 : 50)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await equal(replica, ...databases)
    expect(await node.server.caughtUp(5_000)).toBe(replica.self.nodeId)
    expect(node.server.replicas()).toMatchObject([{ nodeId: replica.self.nodeId, hostname: 'second', behind: 0 }])
  })

  test('one that the sink does not take holds up none of the others', async () => {
    const node = await primary()
    const [slow, quick] = [node.create('slow.db'), node.create('quick.db')]
    const replica = new TestReplica()
    let release = () => {}
    const held = new Promise<void>((resolve) => (release = resolve))
    replica.before = (name) => (name === 'slow.db' ? held : undefined)
    follow(replica, node)
    slow.commit(60, 100_000)
    for (let i = 0; i < 20; i++) {
      quick.commit(5)
      await equal(replica, quick)
    }
    expect(replica.databases.has('slow.db')).toBe(false)
    expect(await node.server.caughtUp(0)).toBeUndefined()
    release()
    await equal(replica, slow, quick)
    expect(await node.server.caughtUp(5_000)).toBe(replica.self.nodeId)
  })

  test('one that the sink fails on comes again as a snapshot; the others go on', async () => {
    const node = await primary()
    const [bad, good] = [node.create('bad.db'), node.create('good.db')]
    const replica = follow(new TestReplica(), node)
    await equal(replica, bad, good)
    replica.before = (name, txid) => {
      if (name === 'bad.db' && txid === 4n) throw new Error('the disk is full')
    }
    for (let i = 0; i < 10; i++) {
      bad.commit()
      good.commit()
      await equal(replica, good)
    }
    await equal(replica, bad)
    expect(replica.snapshots.filter(({ database }) => database === 'bad.db').length).toBeGreaterThan(1)
    expect(replica.snapshots.filter(({ database }) => database === 'good.db')).toHaveLength(1)
    expect(replica.snapshots.at(-1)?.reason).toMatch(/the disk is full/)
    expect(replica.client?.status().connected).toBe(true)
  })

  test('requestSnapshot brings the whole database, resend what the sink lost', async () => {
    const node = await primary()
    const a = node.create('a.db')
    const replica = follow(new TestReplica(), node)
    a.commit(5)
    await equal(replica, a)
    const snapshots = replica.snapshots.length
    replica.client?.requestSnapshot('a.db', 'a test asks')
    a.commit(5)
    await until('another snapshot', () => replica.snapshots.length === snapshots + 1)
    await equal(replica, a)
    expect(replica.snapshots.at(-1)?.reason).toMatch(/a test asks/)
    const before = new TestReplica()
    before.copy(a)
    a.commit(5)
    await equal(replica, a)
    replica.databases.set('a.db', before.databases.get('a.db') as ReplicaDatabase)
    replica.client?.resend('a.db', 'the client died')
    await equal(replica, a)
    expect(replica.snapshots).toHaveLength(snapshots + 1)
  })
})

describe('a snapshot beside a writer', () => {
  test('newcomers get whole databases while commits go on', async () => {
    const node = await primary()
    const a = node.create('a.db')
    a.commit(60, 8_000)
    const replicas = [1, 2, 3].map((i) => follow(new TestReplica({ nodeId: `${i}`.repeat(16) }), node))
    for (let i = 0; i < 60; i++) {
      a.commit(1, 3_000)
      await new Promise((resolve) => setImmediate(resolve))
    }
    for (const replica of replicas) await equal(replica, a)
  })
})
