import { describe, expect, test } from 'vitest'
import { replayLog } from '../../test/harness/in-process/log-replay.ts'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'

const NEW = { create: true, exclusive: false, readOnly: false }

test.each(['', 'no database'])(
  'a database that is renamed over an open file with the content %j is captured',
  (content) => {
    using rig = new Rig()
    const file = rig.node.mount.open('a.db', NEW)
    if (content !== '') file.write(Buffer.from(content), 0)
    rig.open('delete', 20, 'b.db').close()
    rig.node.mount.rename('b.db', 'a.db')
    expect(rig.consistent().commit).toBeGreaterThan(0)
    rig.engine.open('a.db').exec(insert(21, 30))
    // Who has the former file open writes into that, and closes that.
    file.write(Buffer.alloc(100), 0)
    rig.consistent()
    file.close()
    rig.engine.open('a.db').exec(insert(31, 40))
    rig.consistent()
  },
)

test('a file that is written while it is renamed over an open file becomes a database', () => {
  using twin = new Rig()
  twin.open('delete', 20).close()
  using rig = new Rig()
  const former = rig.node.mount.open('a.db', NEW)
  const file = rig.node.mount.open('b.db', NEW)
  const bytes = twin.backing('a.db')
  file.write(bytes.subarray(0, 1024), 0)
  rig.node.mount.rename('b.db', 'a.db')
  former.close()
  file.write(bytes.subarray(1024), 1024)
  file.close()
  expect(rig.consistent().commit).toBe(bytes.length / 1024)
})

describe.each(['removed', 'renamed over'] as const)(
  'a file whose first transaction is under way when it is %s',
  (how) => {
    test.each(['kept open', 'closed'])('leaves its name to a copy, which is captured (%s)', (former) => {
      using twin = new Rig()
      twin.open('delete', 20).close()
      using rig = new Rig()
      const connection = rig.engine.open('a.db')
      connection.exec('PRAGMA cache_size = 2; BEGIN; CREATE TABLE t (a, b)')
      connection.exec(insert(1, 500))
      if (how === 'removed') rig.node.mount.unlink('a.db')
      const target = how === 'removed' ? 'a.db' : 'b.db'
      if (former === 'closed') connection.kill()
      const file = rig.node.mount.open(target, NEW)
      file.write(twin.backing('a.db'), 0)
      file.close()
      if (how === 'renamed over') rig.node.mount.rename('b.db', 'a.db')
      expect(replayLog(rig.dir, 'a.db').commit).toBe(twin.backing('a.db').length / 1024)
      if (former === 'kept open') connection.kill()
      rig.consistent()
      rig.engine.open('a.db').exec(insert(21, 30))
      rig.consistent()
    })
  },
)
