import { existsSync, readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { temporaryDirectories } from '../../backup/testing.ts'
import type { TXID } from '../../ltx/format/types.ts'
import { aborted } from '../../util/waits.ts'
import { TestPrimary } from '../testing/primary.ts'
import { ReplicaDatabase } from '../testing/replica.ts'
import { until } from '../testing/until.ts'
import { type Deferred, deferred } from '../wire/signal.ts'
import { type Snapshot, Snapshots } from './snapshots.ts'

const directory = temporaryDirectories()
const ANY = 0n as TXID
const { signal } = new AbortController()

async function setUp() {
  const node = new TestPrimary(await directory())
  const parent = node.temporaryParent
  return {
    node,
    files: () => (existsSync(parent) ? readdirSync(parent).length : 0),
    snapshots: new Snapshots(parent, { count: 2, sizeBytes: 1 << 30 }),
  }
}

async function read(snapshot: Snapshot): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of snapshot.bytes()) chunks.push(chunk)
  return Buffer.concat(chunks)
}

test('replicas that need the same database share one snapshot, which is removed after the last', async () => {
  const { node, files, snapshots } = await setUp()
  const a = node.create('a.db')
  a.commit(5)
  const gates: Deferred<void>[] = []
  const users = Array.from({ length: 20 }, () =>
    snapshots.use(a, ANY, signal, async (snapshot) => {
      const gate = deferred<void>()
      gates.push(gate)
      await gate.promise
      const bytes = await read(snapshot)
      expect(bytes).toHaveLength(snapshot.sizeBytes)
      new ReplicaDatabase().apply(bytes, snapshot.position)
      return snapshot.position
    }),
  )
  await until('all have it', () => gates.length === users.length)
  expect(files()).toBe(1)
  for (const gate of gates) gate.resolve()
  expect(await Promise.all(users)).toEqual(users.map(() => a.position))
  await until('it is removed', () => files() === 0)
  await node.close()
})

test('further databases wait for their turn', async () => {
  const { node, files, snapshots } = await setUp()
  const gate = deferred<void>()
  const begun: string[] = []
  const users = ['a.db', 'b.db', 'c.db', 'd.db'].map((name) => {
    const database = node.create(name)
    database.commit(2)
    return snapshots.use(database, ANY, signal, async () => {
      begun.push(name)
      await gate.promise
    })
  })
  await until('two have begun', () => begun.length === 2)
  expect(files()).toBe(2)
  gate.resolve()
  await Promise.all(users)
  expect(begun).toHaveLength(4)
  await node.close()
})

test('I8: a snapshot older than what the replica may have is not shared with it', async () => {
  const { node, snapshots } = await setUp()
  const a = node.create('a.db')
  const old = a.commit(5)
  const gate = deferred<void>()
  const got: TXID[] = []
  const first = snapshots.use(a, ANY, signal, async ({ position }) => {
    got.push(position.txid)
    await gate.promise
  })
  await until('the first has one', () => got.length === 1)
  const newest = a.commit(5)
  await snapshots.use(a, newest.txid, signal, async ({ position }) => got.push(position.txid))
  expect(got).toEqual([old.txid, newest.txid])
  gate.resolve()
  await first
  await node.close()
})

test('a snapshot that the log no longer continues is not shared', async () => {
  const { node, snapshots } = await setUp()
  const a = node.create('a.db', 2_000)
  a.commit(2)
  const gate = deferred<void>()
  const got: TXID[] = []
  const first = snapshots.use(a, ANY, signal, async ({ position }) => {
    got.push(position.txid)
    await gate.promise
  })
  await until('the first has one', () => got.length === 1)
  a.commit(40)
  a.removeSegments()
  await snapshots.use(a, ANY, signal, async ({ position }) => got.push(position.txid))
  expect(got).toEqual([3n, a.position.txid])
  gate.resolve()
  await first
  await node.close()
})

test('a snapshot that no replica waits for any more leaves its turn', async () => {
  const { node, files, snapshots } = await setUp()
  const gone = new AbortController()
  const abandoned = ['a.db', 'b.db', 'c.db'].map((name) => {
    const database = node.create(name)
    database.commit(2)
    return snapshots.use(database, ANY, gone.signal, () => aborted(gone.signal))
  })
  const outcome = Promise.allSettled(abandoned)
  const d = node.create('d.db')
  const last = snapshots.use(d, ANY, signal, async ({ position }) => position)
  gone.abort(new Error('the replica left'))
  expect(await last).toEqual(d.position)
  await until('all files are removed', () => files() === 0)
  await outcome
  await node.close()
})
