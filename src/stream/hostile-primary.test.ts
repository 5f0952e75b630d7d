import { afterEach, expect, test, vi } from 'vitest'
import { temporaryDirectories } from '../backup/testing.ts'
import type { Position } from '../ltx/format/types.ts'
import { RawPrimary } from './testing/raw-primary.ts'
import { ReplicaDatabase, TestReplica } from './testing/replica.ts'
import { until } from './testing/until.ts'
import type { SnapshotMessage } from './wire/messages.ts'

vi.setConfig({ testTimeout: 60_000 })

const directory = temporaryDirectories()
const running: { stop(): Promise<void> }[] = []

afterEach(async () => {
  for (const it of running.splice(0).reverse()) await it.stop()
})

async function rawPrimary(connected: (primary: RawPrimary) => void): Promise<RawPrimary> {
  const primary = new RawPrimary(await directory())
  await primary.listen(() => connected(primary))
  running.push({ stop: () => primary.node.close() })
  return primary
}

function follow(replica: TestReplica, { node }: RawPrimary, maxNames?: number): TestReplica {
  const client = replica.follow(node.address, 1n, 40, maxNames)
  running.push({ stop: () => client.stop() })
  return replica
}

const SNAPSHOT: SnapshotMessage = {
  type: 'snapshot',
  database: 'a.db',
  position: { txid: 9n, checksum: 1n << 63n } as Position,
  preApplyChecksum: 0n,
  timestampMs: 0,
  sizeBytes: 1_000,
  fork: null,
  diverged: false,
  reason: '',
}

test('I10: a snapshot that is longer than announced ends the stream at its first byte too many', async () => {
  const primary = await rawPrimary((it) => {
    it.send(SNAPSHOT)
    it.send({ type: 'chunk', database: 'a.db' }, new Uint8Array(600))
    it.send({ type: 'chunk', database: 'a.db' }, new Uint8Array(401))
  })
  const replica = follow(new TestReplica(), primary)
  await until('it is left', () => replica.lines.some((line) => line.includes('longer than announced')))
  expect(replica.databases.size).toBe(0)
})

test('I10: a primary that names more databases than allowed is left', async () => {
  const primary = await rawPrimary((it) => {
    for (let i = 0; i <= 100; i++) {
      it.send({ ...SNAPSHOT, database: `${i}.db`, sizeBytes: 1 })
      it.send({ type: 'chunk', database: `${i}.db` }, new Uint8Array(1))
    }
  })
  const replica = new TestReplica()
  replica.snapshot = async (_name, _header, bytes) => {
    for await (const _ of bytes);
  }
  follow(replica, primary, 100)
  await until('it is left', () => replica.lines.some((line) => line.includes('more than 100 databases')))
})

test('a primary that has none of 20,000 databases, which are not here either, costs nothing', async () => {
  const warnings: Error[] = []
  const warned = (warning: Error) => warnings.push(warning)
  process.on('warning', warned)
  const primary = await rawPrimary((it) => {
    for (let i = 0; i < 20_000; i++) it.send({ type: 'unknown', database: `${i}.db` })
    it.send({ type: 'unknown', database: 'here.db' })
    it.send({ type: 'unknown', database: 'here.db' })
  })
  const replica = new TestReplica()
  replica.databases.set('here.db', new ReplicaDatabase())
  follow(replica, primary)
  await until('the one that is here is removed', () => replica.unknowns.length > 0)
  expect(replica.unknowns).toEqual(['here.db'])
  process.off('warning', warned)
  expect(warnings).toEqual([])
})

test('a database that cannot be applied is retried less and less often, with one line', async () => {
  const primary = await rawPrimary(() => undefined)
  const replica = new TestReplica()
  let tries = 0
  replica.before = () => {
    tries++
    throw new Error('ENOTDIR: z.db is a file')
  }
  const database = 'z.db/inner.db'
  const sendSnapshot = () => {
    primary.send({ ...SNAPSHOT, database })
    primary.send({ type: 'chunk', database }, new Uint8Array(SNAPSHOT.sizeBytes))
  }
  primary.received = (message) => {
    if (message.type === 'positions' && message.complete) sendSnapshot()
    if (message.type !== 'restart') return
    primary.send({ type: 'restarted', database, number: message.number })
    sendSnapshot()
  }
  follow(replica, primary)
  await until('it is retried', () => tries > 4)
  expect(replica.lines.filter((line) => line.includes('could not be applied'))).toHaveLength(1)
})
