import { afterEach, expect, test, vi } from 'vitest'
import { temporaryDirectories } from '../backup/testing.ts'
import { TestPrimary } from './testing/primary.ts'
import { TestReplica } from './testing/replica.ts'
import { until } from './testing/until.ts'

/** When a replica has had the whole history of its primary: it may lead after that. */

vi.setConfig({ testTimeout: 60_000 })

const directory = temporaryDirectories()
const ends: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

/** A replica whose sink takes nothing before `go` is called, and that has received `transactions` of a primary. */
async function held(transactions: number, isBehind: boolean) {
  const node = new TestPrimary(await directory(), { term: 7n })
  await node.listen()
  ends.push(() => node.close())
  const a = node.create('a.db')
  a.commit(1)
  const replica = new TestReplica()
  if (isBehind) replica.copy(a)
  a.commit(transactions)
  let go = () => {}
  const gate = new Promise<void>((resolve) => (go = resolve))
  let began = 0
  replica.before = () => {
    began++
    return gate
  }
  const client = replica.follow(node.address, 7n)
  ends.push(async () => {
    go()
    await client.stop()
  })
  await until('the first change', () => began === 1)
  return { node, a, replica, client, go }
}

/** Everything was sent, as the last message says. */
async function sent({ replica }: { replica: TestReplica }): Promise<void> {
  const { aliveCount } = replica
  await until('heartbeats', () => replica.aliveCount > aliveCount + 1)
}

test('is then also when it applies the last transaction after it has left the primary', async () => {
  const it = await held(5, true)
  await sent(it)
  const stopped = it.client.stop()
  it.go()
  await stopped
  expect(it.replica.equals(it.a)).toBe(true)
  expect(it.replica.caughtUpTerms).toEqual([7n])
})

test('is then also when it applies the last transaction after its primary has died, and was tried again', async () => {
  const it = await held(5, true)
  await sent(it)
  await it.node.close()
  await until('the loss', () => !it.client.status().connected)
  await until('another attempt', () => it.client.status().lastError?.includes('ECONNREFUSED') === true)
  it.go()
  await until('the note', () => it.replica.caughtUpTerms.length > 0)
  expect(it.replica.caughtUpTerms).toEqual([7n])
})

test('is not when its primary has died before it had sent everything', async () => {
  const it = await held(1, true)
  await sent(it)
  it.client.requestSnapshot('a.db', 'to have one')
  await it.node.close()
  await until('another attempt', () => it.client.status().lastError?.includes('ECONNREFUSED') === true)
  it.go()
  await it.client.stop()
  expect(it.replica.caughtUpTerms).toEqual([])
})

test('is not when it left the primary before it took a snapshot', async () => {
  const it = await held(5, true)
  await sent(it)
  it.client.requestSnapshot('a.db', 'to have one')
  it.a.commit(1)
  await until('the snapshot', () => it.replica.lines.length > 0)
  await sent(it)
  const stopped = it.client.stop()
  it.go()
  await stopped
  expect(it.replica.caughtUpTerms).toEqual([])
})

test('is noted with a heartbeat where it could not be noted at once, as on a full disk', async () => {
  const it = await held(1, true)
  const noted: unknown[] = []
  let failures = 2
  it.replica.caughtUp = async (term) => {
    if (failures-- > 0) throw new Error('ENOSPC')
    noted.push(term)
    return Promise.resolve(true)
  }
  it.go()
  await until('the note', () => noted.length > 0)
  expect(noted).toEqual([7n])
  expect(it.replica.lines.filter((line) => line.includes('ENOSPC')).length).toBeGreaterThan(0)
})

test('is not while the sink lacks a database, and is when that has come', async () => {
  const it = await held(5, true)
  it.replica.lacks = true
  it.go()
  await until('the first answer', () => it.replica.caughtUpCount === 1)
  it.replica.lacks = false
  it.client.requestSnapshot('a.db', 'a transaction failed')
  await until('the second answer', () => it.replica.caughtUpCount === 2)
  expect(it.replica.snapshots).toHaveLength(1)
})
