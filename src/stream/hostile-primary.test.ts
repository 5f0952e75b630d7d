import { afterEach, expect, test, vi } from 'vitest'
import { temporaryDirectories } from '../backup/testing.ts'
import type { Position } from '../ltx/format/types.ts'
import { RawPrimary } from './testing/raw-primary.ts'
import { TestReplica } from './testing/replica.ts'
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

function follow(replica: TestReplica, { node }: RawPrimary): TestReplica {
  const client = replica.follow(node.address)
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
