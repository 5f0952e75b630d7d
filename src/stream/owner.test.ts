import { afterEach, expect, test, vi } from 'vitest'
import { temporaryDirectories } from '../backup/testing.ts'
import type { Owner } from '../util/owner.ts'
import { TestPrimary } from './testing/primary.ts'
import type { PrimaryDatabase } from './testing/primary-database.ts'
import { RawReplica } from './testing/raw-replica.ts'
import { TestReplica } from './testing/replica.ts'
import { until } from './testing/until.ts'
import { encodeReplicaMessage, parsePrimaryMessage, PROTOCOL_VERSION } from './wire/messages.ts'

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

/** A database whose file has an owner, and the function that changes it without a transaction. */
function owned(node: TestPrimary, name: string): [PrimaryDatabase, (mode: number) => Owner] {
  let file: Owner = { uid: 65534, gid: 100, mode: 0o640 }
  let changes = 0
  const database = node.create(name)
  Object.assign(database, { owner: { changes: () => changes, file: () => file, folders: () => [ROOT] } })
  const change = (mode: number) => {
    file = { ...file, mode }
    changes++
    node.published()
    return file
  }
  return [database, change]
}

const ROOT: Owner = { uid: 0, gid: 0, mode: 0o755 }

test('the owner comes before the snapshot, at once after a change without a transaction, and else not again', async () => {
  const node = await primary()
  const [a, chmod] = owned(node, 'a.db')
  a.commit(3)
  const replica = follow(new TestReplica(), node)
  await until('the database', () => replica.equals(a))
  const first = { file: { uid: 65534, gid: 100, mode: 0o640 }, folders: [ROOT] }
  expect(replica.owners).toEqual([{ database: 'a.db', owner: first, at: undefined }])
  a.commit(20)
  await until('the database', () => replica.equals(a))
  expect(replica.owners).toHaveLength(1)
  const file = chmod(0o600)
  await until('the change', () => replica.owners.length === 2)
  expect(replica.owners[1]).toMatchObject({ owner: { file }, at: a.position })
})

test('a replica that has everything is told the owner when it connects', async () => {
  const node = await primary()
  const [a] = owned(node, 'a.db')
  const replica = new TestReplica()
  replica.copy(a)
  follow(replica, node)
  await until('caught up', () => replica.caughtUpCount === 1)
  expect(replica.owners).toMatchObject([{ owner: { file: { mode: 0o640 } } }])
})

test('after a restart the owner comes again, because the replica drops what came before', async () => {
  const node = await primary()
  const [a] = owned(node, 'a.db')
  a.commit(2)
  const replica = follow(new TestReplica(), node)
  await until('the database', () => replica.equals(a))
  replica.client?.requestSnapshot('a.db', 'a test')
  await until('another snapshot', () => replica.snapshots.length === 2)
  expect(replica.owners.map(({ owner }) => owner.file.mode)).toEqual([0o640, 0o640])
})

test('a replica that does not say that it takes owners gets none, and everything else', async () => {
  const node = await primary()
  owned(node, 'a.db')[0].commit(2)
  const replica = new RawReplica(node.port).read()
  running.push({ stop: async () => replica.destroy() })
  const about = { protocol: PROTOCOL_VERSION, hostname: 'raw', url: 'http://x', term: 0n }
  replica.request.write(encodeReplicaMessage({ type: 'hello', nodeId: 'c'.repeat(16), ...about }))
  replica.request.write(encodeReplicaMessage({ type: 'positions', positions: [], complete: true }))
  await until('a snapshot', () => replica.types.includes('caught-up'))
  expect(new Set(replica.types)).toEqual(new Set(['hello', 'snapshot', 'chunk', 'caught-up']))
})

test('an owner that a peer sends has the ids that there are, and permissions alone', () => {
  const parsed = (file: object) =>
    parsePrimaryMessage({
      header: { type: 'owner', database: 'a.db', owner: { file, folders: [] } },
      body: new Uint8Array(),
    })
  expect(parsed({ uid: 4_294_967_294, gid: 0, mode: 0o6755 })).toMatchObject({
    owner: { file: { uid: 4_294_967_294, gid: 0, mode: 0o755 } },
  })
  for (const wrong of [
    { uid: 4_294_967_295, gid: 0, mode: 0 },
    { uid: 0, gid: -1, mode: 0 },
    { uid: 0.5, gid: 0, mode: 0 },
    { uid: 0, gid: 0, mode: 0o10000 },
    { uid: 'root', gid: 0, mode: 0 },
  ]) {
    expect(() => parsed(wrong)).toThrow('not as expected')
  }
})
