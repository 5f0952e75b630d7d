import { expect, test } from 'vitest'
import { replayLog } from '../../test/harness/in-process/log-replay.ts'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { WAL_HEADER_SIZE, WalChecksum } from '../sqlite/wal.ts'

const UNDONE = /was never published by SQLite/
const CHOICES = { create: false, exclusive: false, readOnly: false }

test('a captured transaction that SQLite considers failed is undone by another before its frames are overwritten', () => {
  using rig = new Rig()
  const connection = rig.open('wal')
  const before = rig.txid()
  const pages = replayLog(rig.dir, 'a.db').bytes()
  rig.failAfterCapture()
  expect(() => connection.exec(insert(11, 40, 'lost'))).toThrow()
  expect(rig.txid()).toBe(before + 1)
  expect(connection.value('SELECT count(*) FROM t')).toBe(10)

  connection.exec(insert(11, 12, 'kept'))
  expect(rig.txid()).toBe(before + 3)
  expect(rig.node.complaints()).toEqual([expect.stringMatching(UNDONE)])
  replayLog(rig.dir, 'a.db', (database) => {
    if (Number(database.txid) === before + 2) expect(database.bytes().equals(pages)).toBe(true)
  })
  rig.consistent()
})

test('rewriting captured frames with the same bytes changes nothing', () => {
  using rig = new Rig()
  const connection = rig.open('wal')
  connection.exec(insert(11, 40))
  const before = rig.txid()
  const bytes = rig.backing('a.db-wal')
  const wal = rig.node.mount.open('a.db-wal', CHOICES)
  wal.write(bytes.subarray(5_000), 5_000)
  wal.write(bytes, 0)
  wal.close()
  expect(rig.txid()).toBe(before)
  connection.exec(insert(41, 42))
  expect(rig.txid()).toBe(before + 1)
  expect(rig.node.complaints()).toEqual([])
  rig.consistent()
})

test('a captured transaction that SQLite recovers from the WAL stands', () => {
  using rig = new Rig()
  const connection = rig.open('wal')
  rig.failAfterCapture()
  expect(() => connection.exec(insert(11, 40))).toThrow()
  const captured = rig.txid()
  connection.kill()
  const next = rig.engine.open('a.db')
  expect(next.value('SELECT count(*) FROM t')).toBe(40)
  next.exec(insert(41, 50))
  expect(rig.txid()).toBe(captured + 1)
  expect(rig.node.complaints()).toEqual([])
  rig.consistent()
})

test('another connection that never saw the transaction continues without it', () => {
  using rig = new Rig()
  const first = rig.open('wal')
  const second = rig.engine.open('a.db')
  expect(second.value('SELECT count(*) FROM t')).toBe(10)
  rig.failAfterCapture()
  expect(() => first.exec('DELETE FROM t WHERE a > 3')).toThrow()
  first.kill()
  second.exec("UPDATE t SET b = 'second' WHERE a = 1")
  expect(second.value('SELECT count(*) FROM t')).toBe(10)
  expect(rig.node.complaints()).toEqual([expect.stringMatching(UNDONE)])
  rig.consistent()
})

test.each([
  ['grew', insert(500, 900), "UPDATE t SET b = 'x' WHERE a = 1"],
  ['shrank', 'DELETE FROM t WHERE a > 2; VACUUM', insert(950, 960)],
])('an abandoned transaction that %s the database is undone with all its pages', (_how, lost, next) => {
  using rig = new Rig()
  const connection = rig.open('wal', 200)
  rig.failAfter(
    ({ kind, path }) => kind === 'write' && path === 'a.db-wal' && rig.node.database('a.db').pages.sizePages !== size,
  )
  const size = rig.node.database('a.db').pages.sizePages
  expect(() => connection.exec(lost)).toThrow()
  expect(rig.node.database('a.db').pages.sizePages).not.toBe(size)
  connection.exec(next)
  expect(rig.node.complaints()).toEqual([expect.stringMatching(UNDONE)])
  rig.consistent()
})

test('after a checkpoint the undoing transaction restores pages from the database file', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 100)
  connection.exec('PRAGMA wal_checkpoint(RESTART)')
  rig.failAfterCapture()
  expect(() => connection.exec("UPDATE t SET b = 'lost'")).toThrow()
  connection.exec("UPDATE t SET b = 'kept' WHERE a = 7")
  expect(rig.node.complaints()).toEqual([expect.stringMatching(UNDONE)])
  rig.consistent()
})

test('recovery does not capture an undone transaction again', () => {
  using rig = new Rig()
  const connection = rig.open('wal')
  rig.failAfterCapture()
  expect(() => connection.exec(insert(11, 90, 'lost'))).toThrow()
  connection.exec(insert(11, 12, 'kept'))
  const at = rig.txid()
  connection.kill()
  using again = new Rig({}, rig.dir)
  expect(again.txid()).toBe(at)
  const next = again.engine.open('a.db')
  expect(next.value("SELECT count(*) FROM t WHERE b LIKE 'lost%'")).toBe(0)
  expect(next.value('SELECT count(*) FROM t')).toBe(12)
  again.consistent()
})

/** As the WAL-reset bug of SQLite up to 3.51.2 does: a new WAL begins over pages that no checkpoint has written. */
test.each(['a new WAL begins', 'the WAL is truncated', 'the WAL is removed'])(
  'I11: %s over committed pages that never reached the file: an error is logged, and the log follows the file',
  (occasion) => {
    using rig = new Rig()
    const connection = rig.open('wal', 30)
    connection.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    connection.exec("UPDATE t SET b = 'in the WAL only'")
    const before = rig.txid()
    connection.kill()
    const wal = rig.node.mount.open('a.db-wal', CHOICES)
    if (occasion === 'a new WAL begins') wal.write(newWalHeader(rig.backing('a.db-wal')), 0)
    if (occasion === 'the WAL is truncated') wal.truncate(0)
    if (occasion === 'the WAL is removed') rig.node.mount.unlink('a.db-wal')
    wal.close()
    expect(rig.node.complaints()).toEqual([expect.stringContaining(`I11: ${occasion}`)])
    expect(rig.txid()).toBe(before + 1)
    expect(rig.consistent().bytes().equals(rig.backing('a.db'))).toBe(true)
  },
)

test.each(['the WAL is removed', 'a new WAL begins'])(
  'an abandoned transaction is undone, and is no loss, when %s',
  (occasion) => {
    using rig = new Rig()
    const connection = rig.open('wal', 30)
    if (occasion === 'a new WAL begins') connection.exec('PRAGMA wal_checkpoint(RESTART)')
    connection.exec("UPDATE t SET b = 'published'")
    const before = rig.txid()
    rig.failAfterCapture()
    expect(() => connection.exec("UPDATE t SET b = 'abandoned'")).toThrow()
    expect(rig.txid()).toBe(before + 1)
    if (occasion === 'a new WAL begins') {
      connection.exec('PRAGMA wal_checkpoint(RESTART)')
      connection.exec("UPDATE t SET b = 'next' WHERE a = 1")
    }
    connection.close()
    expect(rig.node.complaints()).toEqual([expect.stringMatching(UNDONE)])
    expect(rig.node.guarded).toEqual([])
    rig.consistent()
  },
)

test('I11: nothing is logged when a checkpointed WAL is removed', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 30)
  for (const mode of ['PASSIVE', 'RESTART', 'TRUNCATE']) {
    connection.exec(`UPDATE t SET b = '${mode}'`)
    connection.exec(`PRAGMA wal_checkpoint(${mode})`)
  }
  const before = rig.txid()
  connection.close()
  expect(rig.txid()).toBe(before)
  expect(rig.node.complaints()).toEqual([])
  expect(rig.consistent().bytes().equals(rig.backing('a.db'))).toBe(true)
})

function newWalHeader(wal: Buffer): Buffer {
  const header = Buffer.from(wal.subarray(0, WAL_HEADER_SIZE))
  header.writeUInt32BE((header.readUInt32BE(16) + 1) >>> 0, 16)
  const view = new DataView(header.buffer, header.byteOffset, header.length)
  const sum = new WalChecksum().update(view, 0, 24, header.readUInt32BE(0) === 0x377f0683)
  header.writeUInt32BE(sum.s1, 24)
  header.writeUInt32BE(sum.s2, 28)
  return header
}
