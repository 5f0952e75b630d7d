import { expect, test } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { toTXID } from '../ltx/format/types.ts'
import type { FromDataPlane } from './messages.ts'
import type { SlotState } from './shared-slot.ts'
import { SharedState } from './shared-state.ts'
import { Slots } from './slots.ts'
import { Tenants } from './tenants.ts'

function setUp() {
  const said: FromDataPlane[] = []
  const state = new SharedState()
  return { said, state, slots: new Slots(state, (message) => said.push(message)) }
}

test('each database is announced once, and published in the announced slot', () => {
  using rig = new Rig()
  const { said, state, slots } = setUp()
  for (const name of ['a.db', 'b.db']) rig.open('wal', 10, name)
  for (let i = 0; i < 3; i++) for (const name of ['a.db', 'b.db']) slots.publish(rig.node.database(name))
  expect(said).toEqual([
    { type: 'database', name: 'a.db', slot: 0, rejection: undefined },
    { type: 'database', name: 'b.db', slot: 1, rejection: undefined },
  ])
  for (const [slot, name] of ['a.db', 'b.db'].entries()) {
    expect(state.read(slot).position).toEqual(rig.node.position(name))
    expect(state.read(slot)).toMatchObject({ journalMode: 'wal', tracked: true, pageSize: 1024 })
  }
})

test('a rejection is announced when it comes and when it goes', () => {
  using rig = new Rig()
  const { said, slots } = setUp()
  rig.open('delete', 10)
  const database = rig.node.database('a.db')
  slots.publish(database)
  database.rejection = 'does not fit'
  slots.publish(database)
  database.rejection = undefined
  slots.publish(database)
  expect(said.map((message) => message.type === 'database' && message.rejection)).toEqual([
    undefined,
    'does not fit',
    undefined,
  ])
})

test('the backfilled position waits while pages are only in the WAL, and advances with a checkpoint', () => {
  using rig = new Rig()
  const { state, slots } = setUp()
  const connection = rig.open('wal', 10)
  connection.exec('PRAGMA wal_checkpoint(FULL)')
  slots.publish(rig.node.database('a.db'))
  const checkpointed = rig.node.position('a.db')
  connection.exec(insert(11, 30))
  slots.publish(rig.node.database('a.db'))
  expect(state.read(0).backfilled).toEqual(checkpointed)
  expect(state.read(0).position.txid).toBe(checkpointed.txid + 1n)
  connection.exec('PRAGMA wal_checkpoint(FULL)')
  slots.publish(rig.node.database('a.db'))
  expect(state.read(0).backfilled).toEqual(rig.node.position('a.db'))
})

test('commits are counted from the first publication', () => {
  using rig = new Rig()
  const { state, slots } = setUp()
  const connection = rig.open('delete', 10)
  slots.publish(rig.node.database('a.db'))
  for (let i = 0; i < 5; i++) connection.exec(insert(100 + i, 100 + i))
  slots.publish(rig.node.database('a.db'))
  expect(state.read(0).commits).toBe(5)
})

test('a node without a slot left rejects the next new database, and serves the others', () => {
  using rig = new Rig()
  const said: FromDataPlane[] = []
  const slots = new Slots(new SharedState(), (message) => said.push(message), 2)
  rig.node.admits = (name) => slots.admits(name)
  for (const name of ['a.db', 'b.db']) {
    rig.open('wal', 10, name).close()
    slots.publish(rig.node.database(name))
  }
  for (const mode of ['delete', 'wal']) expect(() => rig.open(mode, 10, `${mode}.db`)).toThrow()
  expect(rig.node.complaints().at(-1)).toMatch(/as many databases as it can hold/)
  rig.node.mount.unlink('b.db')
  for (const name of ['a.db', 'b.db']) {
    rig.engine.open(name).exec('CREATE TABLE u (x)')
    slots.publish(rig.node.database(name))
    rig.consistent(name)
  }
  expect(said.length).toBe(2)
})

test('a node has room for any number of names, one after another, once the control plane has given slots back', async () => {
  using rig = new Rig()
  const shared = new SharedState()
  const tenants = new Tenants(shared)
  const announced: (() => SlotState)[] = []
  const slots = new Slots(
    shared,
    (message) => {
      if (message.type === 'database') announced.push(tenants.stateOf(message.slot))
      if (message.type === 'released') returned.push(message.slot)
    },
    2,
  )
  const returned: number[] = []
  rig.node.admits = (name) => slots.admits(name)
  for (let i = 0; i < 50; i++) {
    const name = `${i}.db`
    rig.open('delete', 1, name).close()
    slots.publish(rig.node.database(name))
    rig.node.mount.unlink(name)
    slots.publish(rig.node.database(name))
    slots.release(name)
    slots.release(name)
    if (i === 0) continue
    // Both are released, and still read.
    if (i === 1) expect(slots.admits('next.db')).toBe(false)
    for (const slot of returned.splice(0)) tenants.end(slot)
    expect(slots.admits('next.db')).toBe(true)
  }
  for (const [i, state] of announced.entries()) expect(state().position).toEqual(rig.node.position(`${i}.db`))
})

test('only what the control plane allows is released', () => {
  using rig = new Rig()
  const { state, slots } = setUp()
  for (const name of ['a.db', 'b.db']) {
    rig.open('wal', 1, name)
    slots.publish(rig.node.database(name))
  }
  expect([state.takeReleases(), slots.releasable()]).toEqual([false, []])
  state.allowRelease(1, toTXID(7))
  expect([state.takeReleases(), slots.releasable()]).toEqual([true, [['b.db', 7n]]])
  expect(state.takeReleases()).toBe(false)
})
