import { afterEach, expect, test, vi } from 'vitest'
import { temporaryDirectories } from '../backup/testing.ts'
import { TestPrimary } from './testing/primary.ts'
import { TestReplica } from './testing/replica.ts'
import { until } from './testing/until.ts'

vi.setConfig({ testTimeout: 60_000 })

const directory = temporaryDirectories()
const running: { stop(): Promise<void> }[] = []

afterEach(async () => {
  for (const it of running.splice(0).reverse()) await it.stop()
})

test('a replica keeps what it has of a database that the primary does not lead, and continues when it does', async () => {
  const node = new TestPrimary(await directory())
  await node.listen()
  running.push({ stop: () => node.close() })
  const [held, led] = [node.create('held.db'), node.create('led.db')]
  const follow = (replica: TestReplica) => {
    const client = replica.follow(node.address)
    running.push({ stop: () => client.stop() })
    return replica
  }
  held.commit(2)
  const behind = new TestReplica({ nodeId: 'c'.repeat(16) })
  behind.copy(held)
  held.commit(2)
  const other = node.create('other.db')
  node.databasesByName.delete('other.db')
  const [has, empty] = [new TestReplica(), new TestReplica({ nodeId: 'd'.repeat(16) })]
  has.copy(held)
  const kept = has.databases.get('held.db')?.position
  // Of another history than the primary's: it is neither replaced nor called complete.
  const foreign = new TestReplica({ nodeId: 'e'.repeat(16) })
  other.commit(3)
  foreign.copy({ name: 'held.db', positions: other.positions, image: other.image } as typeof other)
  node.databasesByName.delete('held.db')
  node.withheldByName.set('held.db', held)
  for (const replica of [behind, has, empty, foreign]) follow(replica)
  led.commit(2)
  await until('the others', () => [behind, has, empty, foreign].every((replica) => replica.equals(led)))
  await until('those that have caught up', () => [behind, has, empty].every(({ caughtUpCount }) => caughtUpCount > 0))
  expect(foreign.caughtUpCount).toBe(0)
  // They lack what the primary lacks: none may count as one that has the history of its term.
  expect(
    [behind, has, empty].flatMap(({ caughtUpTerms }) => caughtUpTerms.filter((term) => term !== undefined)),
  ).toEqual([])
  expect([behind, has, empty, foreign].flatMap(({ unknowns }) => unknowns)).toEqual([])
  expect(has.databases.get('held.db')?.position).toEqual(kept)
  node.withheldByName.clear()
  node.databasesByName.set('held.db', held)
  held.commit(1)
  await until('all of it', () => [behind, has, empty, foreign].every((replica) => replica.equals(held)))
  await until('the last has caught up', () => foreign.caughtUpCount > 0)
})
