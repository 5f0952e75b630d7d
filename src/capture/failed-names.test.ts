import { expect, test } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { FsError } from '../fuse/errno.ts'

const CALLER = { tid: process.pid, uid: 0, gid: 0 }
const fails = () => {
  throw new FsError('EIO', 'the disk failed')
}

test.each([
  ['delete', 'rename'],
  ['persist', 'rename'],
  ['wal', 'rename'],
  ['delete', 'unlink'],
  ['persist', 'unlink'],
  ['wal', 'unlink'],
] as const)(
  'who has a database open (%s) commits nothing that is in no log after a %s of it that failed',
  (mode, how) => {
    using rig = new Rig()
    const connection = rig.open(mode, 20)
    if (how === 'rename') rig.open(mode, 20, 'b.db').close()
    const { volume } = rig.node
    if (how === 'unlink') expect(() => volume.unlink('a.db', fails, CALLER)).toThrow('the disk failed')
    else expect(() => volume.rename('b.db', 'a.db', false, fails, CALLER)).toThrow('the disk failed')
    try {
      connection.exec(insert(21, 30))
    } catch {
      // It is rejected, until its connection opens the file again.
    }
    connection.close()
    const { commit } = rig.consistent()
    expect(commit).toBeGreaterThan(0)
    rig.engine.open('a.db').exec(insert(31, 40))
    rig.consistent()
  },
)

test('a journal that is renamed away while it is open keeps no transaction over several databases from committing', () => {
  using rig = new Rig()
  const journal = rig.node.mount.open('x.db-journal', { create: true, exclusive: false, readOnly: false })
  journal.write(Buffer.from('d9d505f920a163d7', 'hex'), 0)
  rig.node.mount.rename('x.db-journal', 'y')
  journal.close()
  rig.open('delete', 3, 'c.db').close()
  const connection = rig.open('delete', 3, 'b.db')
  connection.exec(`ATTACH '${rig.engine.prefix}c.db' AS c`)
  connection.exec(`BEGIN; INSERT INTO t VALUES (10, 'x'); INSERT INTO c.t VALUES (10, 'x'); COMMIT`)
  connection.close()
  for (const name of ['b.db', 'c.db']) rig.consistent(name)
})

test('a journal whose rename failed stays that of the transaction', () => {
  using rig = new Rig()
  const connection = rig.engine.open('a.db')
  connection.exec('PRAGMA cache_size = 1; BEGIN; CREATE TABLE t (a INTEGER PRIMARY KEY, b)')
  connection.exec(insert(1, 200))
  expect(() => rig.node.volume.rename('a.db-journal', 'y', false, fails, CALLER)).toThrow('the disk failed')
  connection.exec('COMMIT')
  expect(rig.consistent().commit).toBeGreaterThan(0)
})
