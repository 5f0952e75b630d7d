import { expect, test } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { SOLE } from './authority.ts'

const NEW = { create: true, exclusive: false, readOnly: false }

/** A rig in which SQLite's write lock is held while `lock.isHeld`. */
function rigWithLock(): { rig: Rig; lock: { isHeld: boolean } } {
  const lock = { isHeld: false }
  return { rig: new Rig({ authority: { ...SOLE, isLocked: () => lock.isHeld } }), lock }
}

test.each(['MEMORY', 'OFF'])('a new database under journal_mode %s is imported at the first quiet moment', (mode) => {
  const { rig } = rigWithLock()
  using _ = rig
  const connection = rig.engine.open('a.db')
  connection.exec(`PRAGMA journal_mode = ${mode}; CREATE TABLE t (a INTEGER PRIMARY KEY, b)`)
  rig.node.passTime()
  connection.exec(insert(1, 10))
  rig.node.passTime()
  rig.node.passTime()
  expect(rig.txid()).toBe(1)
  rig.consistent()
  expect(rig.node.complaints()).toEqual([expect.stringMatching(/imported as it is now/)])
  expect(() => connection.exec(insert(11, 20))).toThrow()
  connection.kill()
  const next = rig.engine.open('a.db')
  expect(next.value('SELECT count(*) FROM t')).toBe(10)
  next.exec(insert(11, 20))
  rig.consistent()
})

test('a transaction under way is not imported, and one under a lock that never ends is rejected', () => {
  const { rig, lock } = rigWithLock()
  using _ = rig
  const connection = rig.engine.open('a.db')
  lock.isHeld = true
  connection.exec('PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY; CREATE TABLE t (a INTEGER PRIMARY KEY, b)')
  for (let i = 0; i < 2; i++) {
    connection.exec(insert(1 + i, 1 + i))
    for (let turn = 0; turn < 2; turn++) rig.node.passTime()
    expect(rig.txid()).toBe(0)
  }
  for (let turn = 0; turn < 4; turn++) rig.node.passTime()
  expect(rig.node.complaints()).toEqual([expect.stringMatching(/a lock that does not end/)])
  expect(() => connection.exec(insert(20, 30))).toThrow()
  connection.close()
  expect(rig.txid()).toBe(1)
  rig.consistent()
})

test('a commit that ended with an fsync is imported, whatever lock is still held', () => {
  const { rig, lock } = rigWithLock()
  using _ = rig
  lock.isHeld = true
  const connection = rig.engine.open('a.db')
  connection.exec('PRAGMA synchronous = FULL; PRAGMA journal_mode = MEMORY; CREATE TABLE t (a)')
  for (let turn = 0; turn < 2; turn++) rig.node.passTime()
  expect(rig.txid()).toBe(1)
  rig.consistent()
  connection.close()
})

test('a copy that pauses is imported once, when it is whole', () => {
  using source = new Rig()
  source.open('delete', 300).close()
  const bytes = source.backing('a.db')
  using rig = new Rig()
  const file = rig.node.mount.open('a.db', NEW)
  file.write(bytes.subarray(0, 5000), 0)
  for (let turn = 0; turn < 3; turn++) rig.node.passTime()
  expect(rig.txid()).toBe(0)
  file.write(bytes.subarray(5000), 5000)
  file.close()
  rig.node.passTime()
  expect(rig.txid()).toBe(1)
  rig.consistent()
  expect(rig.node.complaints()).toEqual([])
})

test('a database made under journal_mode OFF and then in WAL mode is captured from its first WAL commit on', () => {
  using rig = new Rig()
  const connection = rig.engine.open('a.db')
  connection.exec('PRAGMA journal_mode = OFF; CREATE TABLE t (a INTEGER PRIMARY KEY, b)')
  connection.exec('PRAGMA journal_mode = WAL')
  connection.exec(insert(1, 20))
  expect(rig.txid()).toBeGreaterThan(0)
  rig.consistent()
  connection.close()
})
