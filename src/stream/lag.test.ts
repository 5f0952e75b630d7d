import { afterEach, expect, test, vi } from 'vitest'
import { temporaryDirectories } from '../backup/testing.ts'
import { TestPrimary } from './testing/primary.ts'
import { TestReplica } from './testing/replica.ts'
import { until } from './testing/until.ts'
import { DATABASE_WINDOW_BYTES } from './wire/flow.ts'

vi.setConfig({ testTimeout: 60_000 })

const directory = temporaryDirectories()
const ends: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

test('a replica that has received everything does not lag, however old the newest transaction was', async () => {
  const node = new TestPrimary(await directory())
  await node.listen()
  ends.push(() => node.close())
  const a = node.create('a.db')
  const replica = new TestReplica()
  replica.copy(a)
  a.ageMs = 3_600_000
  a.commit(2)
  const client = replica.follow(node.address)
  ends.push(() => client.stop())
  await until('the lag', () => client.status().lagMs >= 3_600_000)
  await until('no lag', () => client.status().lagMs === 0)
  // While something is left to send, it does.
  let go = () => {}
  const gate = new Promise<void>((resolve) => (go = resolve))
  replica.before = () => gate
  a.commit(1, 3 * DATABASE_WINDOW_BYTES)
  await until('the lag', () => client.status().lagMs >= 3_600_000)
  const { aliveCount } = replica
  await until('heartbeats', () => replica.aliveCount > aliveCount + 2)
  expect(client.status().lagMs).toBeGreaterThanOrEqual(3_600_000)
  go()
  await until('no lag', () => client.status().lagMs === 0)
})
