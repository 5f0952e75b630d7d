import { afterEach, expect, test, vi } from 'vitest'
import { temporaryDirectories } from '../backup/testing.ts'
import { TestPrimary } from './testing/primary.ts'
import type { PrimaryDatabase } from './testing/primary-database.ts'
import { TestReplica } from './testing/replica.ts'
import { until } from './testing/until.ts'

vi.setConfig({ testTimeout: 60_000 })

const directory = temporaryDirectories()
const running: { stop(): Promise<void> }[] = []

afterEach(async () => {
  for (const it of running.splice(0).reverse()) await it.stop()
})

async function primary(): Promise<TestPrimary> {
  const node = new TestPrimary(await directory())
  await node.listen()
  running.push({ stop: () => node.close() })
  return node
}

function follow(replica: TestReplica, node: TestPrimary): TestReplica {
  const client = replica.follow(node.address)
  running.push({ stop: () => client.stop() })
  return replica
}

const equal = (replica: TestReplica, ...databases: PrimaryDatabase[]) =>
  until('the replica has what the primary has', () => databases.every((database) => replica.equals(database)))

test('a replica that was away at a drop is told where it was, also when the primary has nothing else of it', async () => {
  const node = await primary()
  const [gone, kept] = ['gone.db', 'kept.db'].map((name) => node.create(name)) as [PrimaryDatabase, PrimaryDatabase]
  const replica = new TestReplica()
  const there = follow(new TestReplica({ nodeId: 'c'.repeat(16) }), node)
  await equal(there, gone, kept)
  replica.copy(gone)
  gone.commit(2)
  gone.drop()
  const drop = gone.log.position()
  await until('the drop is acknowledged', () => node.server.acknowledged('gone.db', drop))
  node.release(gone)
  follow(replica, node)
  kept.commit(1)
  await equal(replica, kept)
  await until('the replica knows', () => replica.unknowns.length > 0)
  expect(replica.dropped).toEqual(new Map([['gone.db', drop]]))
  expect(there.unknowns).toEqual([])
  expect(await node.server.caughtUp(5_000)).toBeDefined()
  gone.recreate()
  node.databasesByName.set('gone.db', gone)
  node.published()
  await equal(replica, gone, kept)
  await equal(there, gone, kept)
})

test('a replica that never had the database is told where it was dropped, once, and receives the next one', async () => {
  const node = await primary()
  const [gone, kept] = ['gone.db', 'kept.db'].map((name) => node.create(name)) as [PrimaryDatabase, PrimaryDatabase]
  gone.drop()
  const replica = follow(new TestReplica(), node)
  await equal(replica, kept)
  await until('the replica knows', () => replica.dropped.size > 0)
  expect(replica.dropped).toEqual(new Map([['gone.db', gone.log.position()]]))
  kept.commit(1)
  await equal(replica, kept)
  expect(await node.server.caughtUp(5_000)).toBeDefined()
  expect(replica.unknowns).toEqual(['gone.db'])
  gone.recreate()
  node.published()
  await equal(replica, gone, kept)
})
