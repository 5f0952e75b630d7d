import { expect, test } from 'vitest'
import { temporaryDirectories } from '../../backup/testing.ts'
import { TestPrimary } from '../testing/primary.ts'
import { TestReplica } from '../testing/replica.ts'
import { until } from '../testing/until.ts'
import { type Deferred, deferred } from '../wire/signal.ts'
import { GroupSync } from './group-sync.ts'

const directory = temporaryDirectories()

async function setUp() {
  const node = new TestPrimary(await directory())
  const database = node.create('a.db')
  const gates: Deferred<void>[] = []
  const { log } = database
  const sync = log.sync.bind(log)
  log.sync = async () => {
    const synced = await sync()
    const gate = deferred<void>()
    gates.push(gate)
    await gate.promise
    return synced
  }
  return { node, database, log, gates }
}

test('whoever comes during a sync shares the next one, which covers what was published meanwhile', async () => {
  const { node, database, log, gates } = await setUp()
  const syncs = new GroupSync()
  const first = syncs.sync(log)
  const published = database.commit()
  const others = [1, 2, 3].map(() => syncs.sync(log))
  await until('the first is under way', () => gates.length === 1)
  gates[0]?.resolve()
  await first
  await until('the second is under way', () => gates.length === 2)
  gates[1]?.resolve()
  expect(await Promise.all(others)).toEqual([published, published, published])
  expect(await syncs.sync(log)).toEqual(published)
  expect(gates).toHaveLength(2)
  await node.close()
})

test.each(['a transaction', 'a snapshot'])('I4: %s that a power loss could take back does not leave', async (what) => {
  const { node, database } = await setUp()
  // A sync that does nothing, and says where the log is all the same.
  database.log.sync = async () => database.log.position()
  await node.listen()
  const replica = new TestReplica()
  if (what === 'a transaction') replica.copy(database)
  const client = replica.follow(node.address)
  if (what === 'a transaction') {
    await until('caught up', () => replica.caughtUpCount === 1)
    database.commit()
  }
  await until('the stream ends', () => client.status().lastError?.includes('I4') === true)
  expect(replica.transactions).toEqual([])
  expect(replica.snapshots).toEqual([])
  await client.stop()
  await node.close()
})

test('I4: nothing leaves before the log is durable', async () => {
  const { node, database, gates } = await setUp()
  await node.listen()
  const replica = new TestReplica()
  replica.copy(database)
  const client = replica.follow(node.address)
  await until('caught up', () => {
    for (const gate of gates) gate.resolve()
    return replica.caughtUpCount === 1
  })
  const before = gates.length
  database.commit()
  await until('the sync has begun', () => gates.length > before)
  // A heartbeat is later than anything that could have been sent before it.
  const beats = replica.aliveCount
  await until('the primary has spoken since', () => replica.aliveCount > beats)
  expect(replica.transactions).toEqual([])
  gates.at(-1)?.resolve()
  await until('it arrives', () => replica.equals(database))
  await client.stop()
  await node.close()
})
