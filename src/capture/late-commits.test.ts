import { describe, expect, test } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { inspectLog } from '../log/open.ts'
import { logDirectory } from '../log/store.ts'
import { formatPosition } from '../ltx/format/types.ts'
import { nodeFiles } from '../util/files.ts'
import type { Authority } from './authority.ts'

/** A primary, whose lease a test ends. */
class Leader implements Authority {
  readonly leads = true
  readonly deadlineNs = 1n
  leaseHolds = true
  /** Called when a commit is about to be acknowledged. */
  acknowledging = () => {}

  mayCommit(): boolean {
    return this.leaseHolds
  }

  mayAcknowledge(): boolean {
    this.acknowledging()
    return this.leaseHolds
  }

  isClient(): boolean {
    return false
  }
}

describe.each(['wal', 'delete', 'truncate', 'persist'])('in %s mode', (mode) => {
  test.each([
    ['while it is logged', 1],
    ['while it is made durable', 2],
  ])('I6: a commit whose lease expires %s is not acknowledged', (_when, nth) => {
    const role = new Leader()
    using rig = new Rig({ authority: role })
    const connection = rig.open(mode, 50)
    const before = formatPosition(rig.node.position('a.db'))
    let calls = 0
    role.acknowledging = () => {
      if (++calls === nth) role.leaseHolds = false
    }
    expect(() => connection.exec(insert(51, 60))).toThrow()
    expect(calls).toBeGreaterThanOrEqual(nth)
    role.acknowledging = () => {}
    const logged = formatPosition(inspectLog(nodeFiles, logDirectory(rig.dir, 'a.db')).last)
    expect(logged).toBe(formatPosition(rig.node.position('a.db')))
    // In WAL mode it was captured, and may have been sent, before SQLite asks for its durability. The next writer, who
    // does not know it, has it undone.
    const isLogged = mode === 'wal' && nth === 2
    expect(logged !== before).toBe(isLogged)
    role.leaseHolds = true
    if (!isLogged) rig.consistent()
    expect(connection.value('SELECT max(a) FROM t')).toBe(50)
    connection.exec(insert(51, 60))
    rig.consistent()
  })
})

test('I6: a transaction over several databases is rolled back in all of them if the lease has expired', () => {
  const { role, rig, connection } = twoDatabases()
  using _ = rig
  const before = ['a.db', 'b.db'].map((name) => formatPosition(rig.node.position(name)))
  role.leaseHolds = false
  expect(() => connection.exec('COMMIT')).toThrow()
  try {
    connection.exec('ROLLBACK')
  } catch {
    // SQLite has rolled back by itself.
  }
  expect(['a.db', 'b.db'].map((name) => formatPosition(rig.node.position(name)))).toEqual(before)
  for (const table of ['t', 'b.t']) expect(connection.value(`SELECT count(*) FROM ${table} WHERE b = 1`)).toBe(0)
  role.leaseHolds = true
  rig.consistent('a.db')
  rig.consistent('b.db')
})

test('I6: a transaction over several databases whose lease expires while it is logged is in all logs, and not acknowledged', () => {
  const { role, rig, connection } = twoDatabases()
  using _ = rig
  role.acknowledging = () => (role.leaseHolds = false)
  expect(() => connection.exec('COMMIT')).toThrow()
  role.acknowledging = () => {}
  role.leaseHolds = true
  for (const name of ['a.db', 'b.db']) {
    rig.consistent(name)
    expect(rig.engine.open(name).value('SELECT count(*) FROM t WHERE b = 1')).toBe(20)
  }
})

/** Within a transaction that has changed both. */
function twoDatabases() {
  const role = new Leader()
  const rig = new Rig({ authority: role })
  rig.open('delete', 20, 'b.db').close()
  const connection = rig.open('delete', 20)
  connection.exec(`ATTACH '${rig.engine.prefix}b.db' AS b`)
  connection.exec('BEGIN; UPDATE t SET b = 1; UPDATE b.t SET b = 1')
  return { role, rig, connection }
}
