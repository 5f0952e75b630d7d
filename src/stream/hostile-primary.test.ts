import { readdirSync, statfsSync, statSync } from 'node:fs'
import { afterEach, expect, test, vi } from 'vitest'
import { effort } from '../../test/harness/effort.ts'
import { temporaryDirectories } from '../backup/testing.ts'
import { Spool } from '../data/spool.ts'
import type { Position } from '../ltx/format/types.ts'
import { filesBeneath } from '../util/files-beneath.ts'
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

const UNKNOWN = effort(20_000, 200_000)

const NODES = Array.from({ length: 100 }, (_, i) => ({ nodeId: `${i}`.padStart(16, '0'), hostname: 'phantom' }))

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

test('a time that no date has ends the stream, so that it is in no log', async () => {
  for (const timestampMs of [2 ** 53 - 1, 8.64e15, -(2 ** 53) + 1]) {
    const primary = await rawPrimary((it) => it.send({ ...SNAPSHOT, timestampMs }))
    const replica = follow(new TestReplica(), primary)
    await until('it is left', () => replica.lines.some((line) => line.includes('timestampMs')))
    expect(replica.databases.size).toBe(0)
  }
})

/** Spools every snapshot, as a node does. Returns the bytes that are in the spool. */
function spooling(replica: TestReplica, dir: string): () => number {
  const spool = new Spool(filesBeneath(dir), dir)
  replica.snapshot = async (_name, { sizeBytes }, bytes) => void (await spool.write(bytes, sizeBytes))
  return () => readdirSync(`${dir}/spool`).reduce((sum, name) => sum + statSync(`${dir}/spool/${name}`).size, 0)
}

test('I10: an endless snapshot takes neither disk nor memory', async () => {
  const chunk = new Uint8Array(1 << 20)
  let isOver = false
  const primary = await rawPrimary((it) => {
    it.send({ ...SNAPSHOT, sizeBytes: 2 ** 52 })
    const more = () => {
      if (isOver) return
      it.sendMany(more, { type: 'chunk', database: 'a.db' }, chunk)
    }
    more()
  })
  primary.received = (message) => {
    // The snapshot was rejected before its first byte was written.
    if (message.type === 'restart') expect(message.reason).toContain(`needs ${2 ** 52} bytes`)
  }
  const replica = new TestReplica()
  const spooled = spooling(replica, await directory())
  follow(replica, primary)
  await until('it is rejected', () => replica.lines.some((line) => line.includes('DISK_SPACE')))
  let consumed = 0
  primary.received = (message) => {
    if (message.type === 'credit') consumed += message.bytes
  }
  const before = process.memoryUsage().arrayBuffers
  await until('the rest is discarded', () => consumed > 200 << 20)
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 << 20)
  expect(spooled()).toBe(0)
  isOver = true
})

test('I10: snapshots that arrive side by side may not fill the disk together', async () => {
  const dir = await directory()
  const { bavail, bsize } = statfsSync(dir)
  const sizeBytes = Math.floor(bavail * bsize * 0.6)
  const primary = await rawPrimary((it) => {
    for (const database of ['a.db', 'b.db']) {
      it.send({ ...SNAPSHOT, database, sizeBytes })
      it.send({ type: 'chunk', database }, new Uint8Array(1000))
    }
  })
  const replica = new TestReplica()
  spooling(replica, dir)
  follow(replica, primary)
  await until('the second is rejected', () => replica.lines.some((line) => line.includes('DISK_SPACE')))
  const rejected = replica.lines.filter((line) => line.includes('DISK_SPACE'))
  expect(rejected).toHaveLength(1)
  expect(rejected[0]).toContain('b.db')
})

test('I10: a primary that sends more snapshots side by side than allowed is left', async () => {
  const primary = await rawPrimary((it) => {
    for (let i = 0; i < 1000; i++) it.send({ ...SNAPSHOT, database: `${i}.db` })
  })
  const replica = follow(new TestReplica(), primary)
  await until('it is left', () => replica.lines.some((line) => line.includes('side by side')))
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

test(`a primary that has none of ${UNKNOWN} databases, which are not here either, costs nothing`, async () => {
  const warnings: Error[] = []
  const warned = (warning: Error) => warnings.push(warning)
  process.on('warning', warned)
  const primary = await rawPrimary((it) => {
    for (let i = 0; i < UNKNOWN; i++) it.send({ type: 'unknown', database: `${i}.db` })
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

test.each<[string, (it: RawPrimary, i: number) => void]>([
  ['of databases that it does not have', (it, i) => it.send({ type: 'unknown', database: `${i}.db` })],
  ['of one database that it does not have', (it) => it.send({ type: 'unknown', database: 'a.db' })],
  ['of its nodes', (it) => it.send({ type: 'nodes', nodes: NODES })],
  ['that it has sent everything', (it) => it.send({ type: 'caught-up' })],
])('I10: a primary that says without end %s is left', async (_, say) => {
  const primary = await rawPrimary((it) => {
    for (let i = 0; i < 10_000; i++) say(it, i)
  })
  const replica = follow(new TestReplica(), primary, 100)
  await until('it is left', () => replica.lines.some((line) => line.includes('messages without content')))
  expect(replica.named.length).toBeLessThan(100)
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

test('I10: a primary that asks for histories and reads none makes the replica hold no more than a few', async () => {
  let asked = 0
  const primary = await rawPrimary((it) => {
    it.pause()
    for (let i = 0; i < 2_000; i++) it.send({ type: 'history-wanted', database: `${i}.db` })
    it.send({ type: 'unknown', database: 'last.db' })
  })
  const replica = new TestReplica()
  const positions = Array.from({ length: 4096 }, (_, i) => ({ txid: BigInt(i + 1), checksum: 1n << 63n }) as Position)
  replica.history = async () => {
    asked++
    return positions
  }
  replica.databases.set('last.db', new ReplicaDatabase())
  follow(replica, primary)
  await until('everything has arrived', () => replica.unknowns.length > 0)
  await until('the way is full', () => asked > 0)
  expect(asked).toBeLessThan(200)
})
