import fs from 'node:fs'
import { expect, test } from 'vitest'
import { replayLog } from '../../test/harness/in-process/log-replay.ts'
import { InProcessNode } from '../../test/harness/in-process/node-in-process.ts'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'

const NEW = { create: true, exclusive: false, readOnly: false }
const CHOICES = { create: false, exclusive: false, readOnly: false }

/** Writes as `cp` does: one piece after the other, without a journal. */
function copyIn(rig: Rig, name: string, bytes: Uint8Array): void {
  const file = rig.node.mount.open(name, NEW)
  for (let at = 0; at < bytes.length; at += 3000) file.write(bytes.subarray(at, at + 3000), at)
  file.close()
}

test('a database copied in becomes one transaction with all its pages when its last writer closes it', () => {
  using source = new Rig()
  source.open('delete', 300).close()
  using rig = new Rig()
  const bytes = source.backing('a.db')
  const file = rig.node.mount.open('copy.db', NEW)
  file.write(bytes.subarray(0, 5000), 0)
  const reader = rig.node.mount.open('copy.db', { ...CHOICES, readOnly: true })
  reader.close()
  expect(rig.txid('copy.db')).toBe(0)
  file.write(bytes.subarray(5000), 5000)
  file.close()
  expect(rig.txid('copy.db')).toBe(1)
  expect(rig.consistent('copy.db').bytes().equals(bytes)).toBe(true)
  const connection = rig.engine.open('copy.db')
  connection.exec('DELETE FROM t WHERE a > 100')
  expect(rig.txid('copy.db')).toBe(2)
  rig.consistent('copy.db')
})

test.each([
  ['text', () => Buffer.from('not a database'.repeat(100)), []],
  [
    'a database cut short',
    (bytes: Buffer) => bytes.subarray(0, bytes.length - 512),
    [expect.stringMatching(/not a SQLite database/)],
  ],
])('a copied file that is not a database (%s) is a plain file, and the log says why', (_what, cut, complaints) => {
  using source = new Rig()
  source.open('delete', 300).close()
  using rig = new Rig()
  const bytes = cut(source.backing('a.db'))
  copyIn(rig, 'other', bytes)
  expect(rig.backing('other').equals(bytes)).toBe(true)
  expect(fs.existsSync(`${rig.dir}/log/other.ltx`)).toBe(false)
  expect(rig.node.complaints()).toEqual(complaints)
  expect(rig.node.plainFiles).toHaveLength(1 - complaints.length)
  copyIn(rig, 'other', bytes)
})

test('a database copied in with its WAL continues with the WAL’s transactions', () => {
  using source = new Rig()
  const connection = source.open('wal', 30)
  connection.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  connection.exec(insert(31, 60))
  using rig = new Rig()
  copyIn(rig, 'a.db', source.backing('a.db'))
  copyIn(rig, 'a.db-wal', source.backing('a.db-wal'))
  const next = rig.engine.open('a.db')
  expect(next.value('SELECT count(*) FROM t')).toBe(60)
  next.exec(insert(61, 70))
  rig.consistent()
  expect(rig.node.complaints()).toEqual([])
})

test('dropping a database is a transaction, and creating it again continues its history', () => {
  using rig = new Rig()
  rig.open('wal', 100).close()
  const before = rig.txid()
  rig.node.mount.unlink('a.db')
  expect(rig.txid()).toBe(before + 1)
  expect(replayLog(rig.dir, 'a.db').commit).toBe(0)
  const connection = rig.engine.open('a.db')
  connection.exec('PRAGMA page_size = 4096; CREATE TABLE u (x)')
  expect(rig.txid()).toBe(before + 2)
  expect(rig.consistent().pageSize).toBe(4096)
})

test('a dropped database stays dropped after a restart, and its history continues', () => {
  using rig = new Rig()
  rig.open('delete', 50).close()
  rig.node.mount.unlink('a.db')
  const dropped = rig.txid()
  using again = new Rig({}, rig.dir)
  expect(fs.existsSync(`${again.node.root}/a.db`)).toBe(false)
  again.engine.open('a.db').exec('CREATE TABLE u (x)')
  expect(again.txid()).toBe(dropped + 1)
  again.consistent()
})

test('writes to a removed database through an open descriptor are not captured', () => {
  using rig = new Rig()
  const connection = rig.open('delete', 20)
  rig.node.mount.unlink('a.db')
  const dropped = rig.txid()
  connection.exec(insert(21, 30))
  connection.close()
  expect(rig.txid()).toBe(dropped)
  const next = rig.engine.open('a.db')
  next.exec('CREATE TABLE u (x)')
  rig.consistent()
})

test('renaming a database drops it under the old name and creates it under the new one', () => {
  using rig = new Rig()
  rig.open('delete', 40).close()
  const bytes = rig.backing('a.db')
  const before = rig.txid()
  rig.node.mount.rename('a.db', 'b.db')
  expect(rig.txid('a.db')).toBe(before + 1)
  expect(replayLog(rig.dir, 'a.db').commit).toBe(0)
  expect(rig.consistent('b.db').bytes().equals(bytes)).toBe(true)
  rig.engine.open('b.db').exec('DELETE FROM t WHERE a < 10')
  rig.consistent('b.db')
})

test('a database renamed over another replaces it', () => {
  using rig = new Rig()
  rig.open('delete', 40, 'a.db').close()
  rig.open('delete', 90, 'b.db').close()
  const bytes = rig.backing('a.db')
  const before = rig.txid('b.db')
  rig.node.mount.rename('a.db', 'b.db')
  expect(rig.txid('b.db')).toBe(before + 2)
  expect(rig.consistent('b.db').bytes().equals(bytes)).toBe(true)
})

test('renaming a directory renames every database in it', () => {
  using rig = new Rig()
  fs.mkdirSync(`${rig.node.root}/old`)
  rig.open('delete', 5, 'old/a.db').close()
  rig.open('delete', 6, 'old/b.db').close()
  rig.node.mount.rename('old', 'new')
  for (const name of ['new/a.db', 'new/b.db']) rig.consistent(name)
  expect(replayLog(rig.dir, 'old/a.db').commit).toBe(0)
})

test('a transaction over two databases is captured in both before its super-journal is removed', () => {
  using rig = new Rig()
  const connection = rig.open('delete', 5, 'a.db')
  rig.open('delete', 5, 'b.db').close()
  connection.exec(`ATTACH '${rig.engine.prefix}b.db' AS b`)
  const before = [rig.txid('a.db'), rig.txid('b.db')]
  const positions: number[][] = []
  rig.node.mount.after = ({ kind, path }) => {
    if (kind === 'unlink' && path.includes('-mj')) positions.push([rig.txid('a.db'), rig.txid('b.db')])
  }
  connection.exec("BEGIN; INSERT INTO main.t VALUES (100, 'x'); INSERT INTO b.t VALUES (100, 'x'); COMMIT")
  expect(positions).toEqual([before.map((txid) => txid + 1)])
  expect([rig.txid('a.db'), rig.txid('b.db')]).toEqual(positions[0])
  rig.consistent('a.db')
  rig.consistent('b.db')
})

test('a file that is not a database is forgotten once it is closed', () => {
  using rig = new Rig()
  for (let i = 0; i < 50; i++) {
    const file = rig.node.mount.open(`notes-${i}.txt`, NEW)
    file.write(Buffer.from('x'), 0)
    file.close()
  }
  expect(() => rig.node.database('notes-1.txt')).toThrow(/no database/)
})

test('every committed transaction survives a restart', () => {
  using rig = new Rig()
  for (const mode of ['wal', 'delete', 'truncate', 'persist']) rig.open(mode, 30, `${mode}.db`)
  using again = new Rig({}, rig.dir)
  for (const mode of ['wal', 'delete', 'truncate', 'persist']) {
    expect(again.node.position(`${mode}.db`)).toEqual(rig.node.position(`${mode}.db`))
    again.consistent(`${mode}.db`)
  }
  expect(new InProcessNode({ dataDir: again.dir }).complaints()).toEqual([])
})
