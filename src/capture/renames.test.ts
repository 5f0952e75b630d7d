import fs from 'node:fs'
import { describe, expect, test } from 'vitest'
import { replayLog } from '../../test/harness/in-process/log-replay.ts'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { FsError } from '../fuse/errno.ts'
import { marshalJournalSegment } from '../sqlite/journal-write.ts'

const NEW = { create: true, exclusive: false, readOnly: false }
/** Here, locks and shared memory belong to names, not to files: two WAL databases of one name need a mount. */
const ROLLBACK_MODES = ['delete', 'truncate', 'persist']
const MODES = [...ROLLBACK_MODES, 'wal']
const COUNT = 'SELECT count(*) FROM t'

const isDropped = (rig: Rig, name: string) => replayLog(rig.dir, name).commit === 0

function restarted(rig: Rig): Rig {
  return new Rig({}, rig.dir)
}

describe.each(MODES)('an open database (%s)', (mode) => {
  test('that is renamed away goes on under the new name; who has it open reads on, and writes nothing', () => {
    using rig = new Rig()
    const old = rig.open(mode, 20)
    rig.node.mount.rename('a.db', 'b.db')
    expect(isDropped(rig, 'a.db')).toBe(true)
    if (mode === 'wal') rig.node.mount.rename('a.db-wal', 'b.db-wal')
    expect(old.value(COUNT)).toBe(20)
    const position = rig.node.position('b.db')
    expect(() => old.exec(insert(21, 30))).toThrow()
    expect(rig.node.complaints().at(-1)).toMatch(/renamed while it was open/)
    expect(rig.node.position('b.db')).toEqual(position)
    expect(rig.node.database('a.db').tracked).toBe(false)
    old.close()
    const next = rig.engine.open('b.db')
    expect(next.value(COUNT)).toBe(20)
    next.exec(insert(21, 30))
    rig.consistent('b.db')
    using again = restarted(rig)
    expect(again.engine.open('b.db').value(COUNT)).toBe(30)
    expect(fs.existsSync(`${again.node.root}/a.db`)).toBe(false)
  })

  test('in a folder that is renamed goes on under the new name', () => {
    using rig = new Rig()
    fs.mkdirSync(`${rig.node.root}/d`)
    const old = rig.open(mode, 20, 'd/a.db')
    rig.node.mount.rename('d', 'e')
    expect(isDropped(rig, 'd/a.db')).toBe(true)
    expect(() => old.exec(insert(21, 30))).toThrow()
    expect(old.value(COUNT)).toBe(20)
    old.close()
    rig.engine.open('e/a.db').exec(insert(21, 30))
    expect(rig.engine.open('e/a.db').value(COUNT)).toBe(30)
    rig.consistent('e/a.db')
  })
})

describe.each(ROLLBACK_MODES)('a database that is open (%s)', (mode) => {
  test('that another is renamed over goes on as a nameless file, and no write of it reaches the new one', () => {
    using rig = new Rig()
    const old = rig.open(mode, 20)
    rig.open(mode, 50, 'new.db').close()
    const bytes = rig.backing('new.db')
    rig.node.mount.rename('new.db', 'a.db')
    expect(rig.backing('a.db').equals(bytes)).toBe(true)
    const position = rig.node.position('a.db')
    old.exec(insert(21, 30, 'nameless'))
    expect(old.value(COUNT)).toBe(30)
    expect(rig.node.position('a.db')).toEqual(position)
    const next = rig.engine.open('a.db')
    expect(next.value(COUNT)).toBe(50)
    next.exec(insert(51, 60))
    old.exec(insert(31, 40, 'nameless'))
    rig.consistent()
    expect(rig.node.position('a.db').txid).toBe(position.txid + 1n)
    old.close()
    next.exec(insert(61, 70))
    rig.consistent()
    expect(rig.node.complaints().filter((line) => line.includes('I11'))).toEqual([])
    using again = restarted(rig)
    expect(again.engine.open('a.db').value(COUNT)).toBe(70)
  })

  test('is swapped for another: all files away, new ones in, while the old connection is open', () => {
    using rig = new Rig()
    fs.mkdirSync(`${rig.node.root}/old`)
    const old = rig.open(mode, 20)
    rig.open(mode, 50, 'new.db').close()
    for (const suffix of ['', '-journal', '-shm', '-wal'])
      if (fs.existsSync(`${rig.node.root}/a.db${suffix}`)) rig.node.mount.rename(`a.db${suffix}`, `old/a.db${suffix}`)
    rig.node.mount.rename('new.db', 'a.db')
    const next = rig.engine.open('a.db')
    expect([old.value(COUNT), next.value(COUNT)]).toEqual([20, 50])
    next.exec(insert(51, 60))
    rig.consistent()
    for (const suffix of ['', '-journal', '-shm', '-wal'])
      if (fs.existsSync(`${rig.node.root}/old/a.db${suffix}`)) rig.node.mount.unlink(`old/a.db${suffix}`)
    next.exec(insert(61, 70))
    rig.consistent()
    old.close()
    using again = restarted(rig)
    expect(again.engine.open('a.db').value(COUNT)).toBe(70)
    expect(fs.existsSync(`${again.node.root}/old/a.db`)).toBe(false)
  })

  test('that is removed, and made anew by a copy or a rename, shares nothing with the new one', () => {
    for (const way of ['copy', 'rename'] as const) {
      using rig = new Rig()
      rig.open(mode, 50, 'new.db').close()
      const old = rig.open(mode, 20)
      rig.node.mount.unlink('a.db')
      if (way === 'rename') rig.node.mount.rename('new.db', 'a.db')
      else {
        const file = rig.node.mount.open('a.db', NEW)
        file.write(rig.backing('new.db'), 0)
        file.close()
      }
      const next = rig.engine.open('a.db')
      old.exec(insert(21, 30))
      next.exec(insert(51, 60))
      old.exec(insert(31, 40))
      expect([old.value(COUNT), next.value(COUNT)]).toEqual([40, 60])
      rig.consistent()
      old.close()
      next.exec(insert(61, 70))
      rig.consistent()
    }
  })
})

test('a database whose file ends within its last page, as the backup API leaves it, is captured under its new name', () => {
  using rig = new Rig()
  const connection = rig.engine.open('a.db')
  connection.exec('PRAGMA page_size = 1024; PRAGMA journal_mode = persist; CREATE TABLE t (a)')
  const file = rig.node.mount.open('a.db', { ...NEW, create: false })
  const journal = rig.node.mount.open('a.db-journal', { ...NEW, create: false })
  const record = { pgno: 1, page: rig.backing('a.db').subarray(0, 1024) }
  journal.write(marshalJournalSegment({ pageSize: 1024, initialSizePages: 2, nonce: 1 }, [record]), 0)
  file.truncate(1024 + 512)
  journal.truncate(0)
  for (const handle of [file, journal]) handle.close()
  connection.close()
  const { commit } = rig.consistent()
  rig.node.mount.rename('a.db', 'b.db')
  expect(rig.consistent('b.db').commit).toBe(commit)
})

test('a WAL that a crash left beside a database does not become that of the file renamed over it', () => {
  using before = new Rig()
  const connection = before.open('wal', 20)
  connection.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  connection.exec(insert(21, 30))
  using rig = new Rig({}, before.dir)
  const file = rig.node.mount.open('new.db', NEW)
  using source = new Rig()
  source.open('wal', 50).close()
  file.write(source.backing('a.db'), 0)
  file.close()
  fs.copyFileSync(`${before.node.root}/a.db-wal`, `${rig.node.root}/a.db-wal`)
  rig.node.mount.rename('new.db', 'a.db')
  expect(rig.engine.open('a.db').value(COUNT)).toBe(50)
  rig.consistent()
})

test('a database that comes back to the WAL that it left has all its transactions', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 20)
  connection.exec(insert(21, 30))
  rig.node.mount.rename('a.db', 'b.db')
  rig.node.mount.rename('b.db', 'a.db')
  rig.consistent()
  const next = rig.engine.open('a.db')
  expect(next.value(COUNT)).toBe(30)
  next.close()
  connection.close()
  rig.consistent()
  rig.engine.open('a.db').exec(insert(31, 40))
  rig.consistent()
  using again = restarted(rig)
  expect(again.engine.open('a.db').value(COUNT)).toBe(40)
})

test.each(['delete', 'persist'])('a database within a transaction is not renamed (%s)', (mode) => {
  using rig = new Rig()
  const connection = rig.open(mode, 200)
  connection.exec('PRAGMA cache_size = 1')
  connection.exec("BEGIN; UPDATE t SET b = 'x'")
  expect(() => rig.node.mount.rename('a.db', 'b.db')).toThrow(/within a transaction/)
  connection.exec('COMMIT')
  rig.consistent()
})

test('the side files of a database are not renamed, nor replaced while it is in use', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 40)
  const position = rig.node.position('a.db')
  const other = rig.node.mount.open('other', NEW)
  other.close()
  expect(() => rig.node.mount.rename('a.db-wal', 'x')).toThrow(/lose transactions/)
  for (const suffix of ['-wal', '-shm', '-journal'])
    expect(() => rig.node.mount.rename('other', `a.db${suffix}`)).toThrow(/lose transactions/)
  connection.exec('SELECT 1')
  expect(rig.node.position('a.db')).toEqual(position)
  rig.consistent()
  connection.close()
  rig.node.mount.rename('other', 'a.db-wal')
  rig.engine.open('a.db').exec(insert(41, 50))
  rig.consistent()
})

test('a file that is renamed while it is written becomes a database when its writer closes it', () => {
  using source = new Rig()
  source.open('delete', 300).close()
  const bytes = source.backing('a.db')
  using rig = new Rig()
  const file = rig.node.mount.open('.a.db.tmp', NEW)
  file.write(bytes.subarray(0, 5000), 0)
  rig.node.mount.rename('.a.db.tmp', 'a.db')
  file.write(bytes.subarray(5000), 5000)
  file.close()
  expect(rig.txid()).toBe(1)
  rig.engine.open('a.db').exec(insert(301, 310))
  rig.consistent()
  expect(Array.from(rig.node.volume.list(), ({ name }) => name)).toEqual(['a.db'])
})

test('a file that is renamed to a side file’s name while it is written stays a plain file', () => {
  using rig = new Rig()
  const file = rig.node.mount.open('tmp', NEW)
  file.write(Buffer.from('one'), 0)
  rig.node.mount.rename('tmp', 'notes-wal')
  file.write(Buffer.from('two'), 3)
  file.close()
  expect(rig.backing('notes-wal').toString()).toBe('onetwo')
  expect(Array.from(rig.node.volume.list())).toEqual([])
})

test('after a rename that fails the databases are captured as before', () => {
  using rig = new Rig()
  for (const name of ['a.db', 'b.db']) rig.open('wal', 20, name).close()
  const { volume } = rig.node
  const fails = () => {
    throw new FsError('EIO', 'the disk failed')
  }
  const caller = { tid: process.pid, uid: 0, gid: 0 }
  expect(() => volume.rename('a.db', 'b.db', false, fails, caller)).toThrow('the disk failed')
  for (const name of ['a.db', 'b.db']) {
    rig.engine.open(name).exec(insert(21, 30))
    rig.consistent(name)
  }
})
