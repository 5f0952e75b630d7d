import { describe, expect, test } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { inspectLog } from '../log/open.ts'
import { logDirectory } from '../log/store.ts'
import { formatPosition } from '../ltx/format/types.ts'
import { nodeFiles } from '../util/files.ts'

const MODES = ['wal', 'delete', 'truncate', 'persist']

/** Commits of one page, of many, spilled twice, rolled back in part, and those that change the size. */
const COMMITS = [
  "UPDATE t SET b = 'one' WHERE a = 1",
  "UPDATE t SET b = 'many' || a",
  "BEGIN; UPDATE t SET b = 'once' || b; UPDATE t SET b = 'twice' || b; COMMIT",
  "BEGIN; SAVEPOINT s; UPDATE t SET b = 'x' || b; ROLLBACK TO s; UPDATE t SET b = 'y' WHERE a < 50; COMMIT",
  insert(400, 700),
  'DELETE FROM t WHERE a > 300',
  'VACUUM',
]

describe.each(MODES)('I1: in mode %s', (mode) => {
  test('the position of each commit is in the log before the operation that makes it is answered', () => {
    using rig = new Rig()
    const connection = rig.open(mode, 300)
    connection.exec('PRAGMA cache_size = 5')
    let answered = rig.txid()
    // Called before the application gets the answer to an operation.
    rig.node.mount.after = () => {
      const { position } = rig.node.database('a.db')
      if (Number(position.txid) === answered) return
      answered = Number(position.txid)
      const { last } = inspectLog(nodeFiles, logDirectory(rig.dir, 'a.db'))
      expect(formatPosition(last)).toBe(formatPosition(position))
    }
    for (const sql of COMMITS) {
      const before = answered
      connection.exec(sql)
      expect(answered, sql).toBeGreaterThan(before)
      expect(rig.txid(), sql).toBe(answered)
    }
    rig.consistent()
  })
})
