import fs from 'node:fs'
import { describe, expect, test } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { FsError } from '../fuse/errno.ts'
import { DATABASE_LOCK } from '../sqlite/locks.ts'
import { SOLE } from './authority.ts'

const NEW = { create: true, exclusive: false, readOnly: false }
const COUNT = 'SELECT count(*) FROM t'
const MODES = ['delete', 'truncate', 'persist'] as const

/** What SQLite's RBU writes to `a.db-oal`: a WAL of the database, with the rows to 30 in two transactions. */
function writeOal(rig: Rig, name = 'a.db-oal'): Buffer {
  using source = new Rig()
  const copy = source.node.mount.open('a.db', NEW)
  copy.write(rig.backing('a.db'), 0)
  copy.close()
  const connection = source.engine.open('a.db')
  connection.exec('PRAGMA journal_mode = wal')
  connection.exec(insert(21, 25))
  connection.exec(insert(26, 30))
  const wal = source.backing('a.db-wal')
  const file = rig.node.mount.open(name, NEW)
  file.write(wal, 0)
  file.close()
  return wal
}

describe.each(MODES)('a file that is renamed to the WAL of a database (%s)', (mode) => {
  test('commits what it holds, as one transaction, before the rename; connections that are open read and write on', () => {
    using rig = new Rig()
    const connection = rig.open(mode, 20)
    writeOal(rig)
    const { txid } = rig.node.position('a.db')
    let atRename: bigint | undefined
    rig.node.mount.after = ({ kind }) => {
      if (kind === 'rename') atRename ??= rig.node.position('a.db').txid
    }
    rig.node.mount.rename('a.db-oal', 'a.db-wal')
    expect(atRename).toBe(txid + 1n)
    expect(connection.value(COUNT)).toBe(30)
    rig.consistent()
    connection.exec(insert(31, 40))
    rig.consistent()
    connection.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    connection.exec(insert(41, 50))
    expect(rig.consistent().commit).toBeGreaterThan(0)
    connection.close()
    expect(rig.node.complaints()).toEqual([])
  })

  test('is there after a restart, whether the crash came before the rename or after it', () => {
    using rig = new Rig()
    rig.open(mode, 20)
    writeOal(rig)
    let before = ''
    rig.node.mount.before = ({ kind }) => {
      if (kind === 'rename') before = rig.node.root
    }
    rig.node.mount.rename('a.db-oal', 'a.db-wal')
    expect(before).not.toBe('')
    using after = new Rig({}, rig.dir)
    expect(after.engine.open('a.db').value(COUNT)).toBe(30)
    after.consistent()
    fs.renameSync(`${rig.node.root}/a.db-wal`, `${rig.node.root}/a.db-oal`)
    using crashed = new Rig({}, rig.dir)
    expect(crashed.engine.open('a.db').value(COUNT)).toBe(30)
    crashed.consistent()
  })

  test('is no transaction if the rename fails', () => {
    using rig = new Rig()
    const connection = rig.open(mode, 20)
    const wal = writeOal(rig)
    const fails = () => {
      throw new FsError('EIO', 'the disk failed')
    }
    const caller = { tid: process.pid, uid: 0, gid: 0 }
    expect(() => rig.node.volume.rename('a.db-oal', 'a.db-wal', false, fails, caller)).toThrow('the disk failed')
    expect(connection.value(COUNT)).toBe(20)
    rig.consistent()
    expect(rig.backing('a.db-oal').equals(wal)).toBe(true)
    connection.exec(insert(31, 40))
    rig.consistent()
  })

  test('is rejected within a transaction, while the file is open, and if it is no WAL of the database', () => {
    let locked: readonly number[] = []
    const isLocked = (_inode: number, offset = 0) => locked.includes(offset)
    using rig = new Rig({ authority: { ...SOLE, isLocked } })
    const connection = rig.open(mode, 20)
    const wal = writeOal(rig)
    const position = rig.node.position('a.db')
    const rename = (from = 'a.db-oal') => rig.node.mount.rename(from, 'a.db-wal')
    connection.exec('PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN')
    connection.exec('UPDATE t SET b = b || hex(zeroblob(900))')
    expect(rename).toThrow(/lose transactions/)
    connection.exec('ROLLBACK')
    locked = [DATABASE_LOCK.reserved]
    expect(rename).toThrow(/lose transactions/)
    locked = [DATABASE_LOCK.reserved, DATABASE_LOCK.shared]
    const open = rig.node.mount.open('a.db-oal', NEW)
    expect(rename).toThrow(/lose transactions/)
    open.close()
    const other = rig.node.mount.open('text', NEW)
    other.write(Buffer.from('no WAL'), 0)
    other.close()
    expect(() => rename('text')).toThrow(/lose transactions/)
    const small = rig.node.mount.open('small', NEW)
    using source = new Rig()
    const smallPages = source.engine.open('a.db')
    smallPages.exec('PRAGMA page_size = 512; PRAGMA journal_mode = wal; CREATE TABLE t (a)')
    small.write(source.backing('a.db-wal'), 0)
    small.close()
    expect(() => rename('small')).toThrow(/page/)
    expect(rig.node.position('a.db')).toEqual(position)
    expect(rig.backing('a.db-oal').equals(wal)).toBe(true)
    expect(connection.value(COUNT)).toBe(20)
    rename()
    expect(connection.value(COUNT)).toBe(30)
    rig.consistent()
  })
})

test('a file that is open does not become the WAL of a closed database: what is written to it would not be captured', () => {
  using rig = new Rig()
  rig.open('wal', 20).close()
  const file = rig.node.mount.open('other', NEW)
  expect(() => rig.node.mount.rename('other', 'a.db-wal')).toThrow(/lose transactions/)
  file.close()
  rig.node.mount.rename('other', 'a.db-wal')
  rig.engine.open('a.db').exec(insert(21, 30))
  rig.consistent()
})

test('I6: after the lease has expired nothing arrives, and the file keeps its bytes', () => {
  const mayCommit = () => role.leaseHolds
  const role = { ...SOLE, leads: true, leaseHolds: true, mayCommit, mayAcknowledge: mayCommit }
  using rig = new Rig({ authority: role })
  const connection = rig.open('delete', 20)
  const wal = writeOal(rig)
  role.leaseHolds = false
  const rename = () => rig.node.mount.rename('a.db-oal', 'a.db-wal')
  expect(rename).toThrow(/lease/)
  role.leads = false
  expect(rename).toThrow(/not the primary/)
  expect(rig.backing('a.db-oal').equals(wal)).toBe(true)
  role.leads = role.leaseHolds = true
  expect(connection.value(COUNT)).toBe(20)
  rename()
  expect(connection.value(COUNT)).toBe(30)
  rig.consistent()
})
