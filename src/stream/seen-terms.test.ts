import { afterEach, expect, test, vi } from 'vitest'
import { temporaryDirectories } from '../backup/testing.ts'
import type { Position } from '../ltx/format/types.ts'
import { Brought } from './replica/brought.ts'
import { TestPrimary } from './testing/primary.ts'
import { RawPrimary } from './testing/raw-primary.ts'
import { TestReplica } from './testing/replica.ts'
import { until } from './testing/until.ts'

vi.setConfig({ testTimeout: 60_000 })

const HUGE = 2n ** 61n
const directory = temporaryDirectories()
const running: { stop(): Promise<void> }[] = []

afterEach(async () => {
  for (const it of running.splice(0).reverse()) await it.stop()
})

/** Answers at the primary's address in a term that nobody leads in, until `isRaw` is false. */
async function impostor(connected: (primary: RawPrimary) => void = () => undefined): Promise<RawPrimary> {
  const primary = new RawPrimary(await directory())
  primary.term = HUGE
  await primary.listen(() => connected(primary))
  running.push({ stop: () => primary.node.close() })
  return primary
}

function follow({ node }: { readonly node: TestPrimary }, term: bigint): TestReplica {
  const replica = new TestReplica()
  const client = replica.follow(node.address, term)
  running.push({ stop: () => client.stop() })
  return replica
}

const connectedTo = (replica: TestReplica, term: bigint) =>
  replica.lines.some((line) => line.includes('connected to the primary') && line.includes(`"term":"${term}"`))

test.each([0n, 1n])(
  'I6: a term that one hello names is forgotten with its connection, where the lease says %s',
  async (term) => {
    const primary = await impostor((it) => it.send({ type: 'caught-up' }))
    const a = primary.node.create('a.db')
    const replica = follow(primary, term)
    await until('the impostor is followed', () => connectedTo(replica, HUGE))
    primary.isRaw = false
    primary.drop()
    await until('the primary is followed', () => replica.equals(a))
    expect(connectedTo(replica, 1n)).toBe(true)
  },
)

test('a lease that says an earlier term than what was applied is believed when the connection has ended', async () => {
  const node = new TestPrimary(await directory(), { term: HUGE })
  await node.listen()
  running.push({ stop: () => node.close() })
  const a = node.create('a.db')
  const replica = follow({ node }, 1n)
  await until('it is applied', () => replica.equals(a))
  node.leads = 1n
  a.commit()
  await until('the primary of the lease is followed', () => replica.equals(a))
  expect(connectedTo(replica, 1n)).toBe(true)
})

test('I6: what is applied late of the connection before proves no term of the next one', () => {
  const at = (txid: bigint) => ({ txid, checksum: 1n << 63n }) as Position
  const brought = new Brought()
  brought.begin(new Map([['a.db', at(7n)]]))
  expect([6n, 7n, 8n].map((txid) => brought.includes('a.db', at(txid)))).toEqual([false, false, true])
  brought.snapshot('a.db', at(3n))
  expect([2n, 3n, 4n].map((txid) => brought.includes('a.db', at(txid)))).toEqual([false, true, false])
  expect(brought.includes('new.db', at(1n))).toBe(true)
})
