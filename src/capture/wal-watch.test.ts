import fs from 'node:fs'
import { describe, expect, test } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import type { DatabaseInodes } from '../sqlite/database-files.ts'
import { FRAME_HEADER_SIZE, frameIndex, parseWalHeader, WAL_HEADER_SIZE } from '../sqlite/wal.ts'
import type { IndexedFrames } from './wal-watch.ts'

const CHOICES = { create: true, exclusive: false, readOnly: false }

/** What the wal-index says when all frames of the WAL are committed. */
function indexOf(rig: Rig): IndexedFrames {
  const wal = rig.backing('a.db-wal')
  const header = parseWalHeader(wal.subarray(0, WAL_HEADER_SIZE))
  if (header === undefined) throw new Error('the WAL has a header')
  const { pageSize, salt1, salt2 } = header
  return { maxFrame: frameIndex(wal.length, pageSize), salt1, salt2 }
}

/** The inode numbers of `a.db`, of which the in-process engine has no wal-index file. */
function inodesOf(rig: Rig): DatabaseInodes {
  const ino = (name: string) => fs.statSync(`${rig.node.root}/${name}`, { throwIfNoEntry: false })?.ino ?? 0
  return { database: ino('a.db'), wal: ino('a.db-wal'), shm: 0 }
}

const compare = (rig: Rig, index: IndexedFrames, inodes = inodesOf(rig)) =>
  rig.node.volume.announced({ op: 'indexed', database: 'a.db', index, inodes })

describe('capture that has missed commits', () => {
  /** From now on the tracker sees nothing of the WAL, as a fault in it would have it. */
  function blind(rig: Rig): () => void {
    const { wal } = rig.node.database('a.db')
    wal.write = (_data, _position, perform) => perform()
    return () => void Reflect.deleteProperty(wal, 'write')
  }

  test('is found by the wal-index: an alarm, and the next commit is rejected', () => {
    using rig = new Rig()
    const connection = rig.open('wal', 20)
    const see = blind(rig)
    const before = rig.txid()
    connection.exec(insert(21, 30))
    see()
    expect(rig.txid(), 'planted: the commit is acknowledged, and in no log').toBe(before)
    compare(rig, indexOf(rig))
    expect(rig.node.guarded).toEqual(['a.db'])
    expect(rig.node.complaints()).toEqual([expect.stringMatching(/lists commits that were not captured/)])
    expect(() => connection.exec(insert(31, 40))).toThrow()
    expect(connection.value('SELECT count(*) FROM t')).toBe(30)
  })

  test('has everything once the database was closed and is opened again', () => {
    using rig = new Rig()
    const connection = rig.open('wal', 20)
    const see = blind(rig)
    connection.exec(insert(21, 30))
    see()
    compare(rig, indexOf(rig))
    // As after a crash: the last connection to close would copy what was not captured, which is rejected.
    connection.kill()
    const next = rig.engine.open('a.db')
    expect(next.value('SELECT count(*) FROM t')).toBe(30)
    next.exec(insert(31, 40))
    expect(next.value('SELECT count(*) FROM t')).toBe(40)
    rig.consistent()
  })

  test('that sees no commit of a new WAL is found, too', () => {
    using rig = new Rig()
    const connection = rig.open('wal', 20)
    connection.exec('PRAGMA wal_checkpoint(RESTART)')
    blind(rig)
    connection.exec(insert(21, 30))
    compare(rig, indexOf(rig))
    expect(rig.node.guarded).toEqual(['a.db'])
  })
})

test('a wal-index that is as far as capture, behind it, or of the WAL before is no alarm', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 20)
  const index = indexOf(rig)
  compare(rig, index)
  connection.exec(insert(21, 30))
  compare(rig, index)
  connection.exec('PRAGMA wal_checkpoint(RESTART)')
  connection.exec(insert(31, 31))
  expect(indexOf(rig).salt1).not.toBe(index.salt1)
  compare(rig, index)
  compare(rig, { ...index, maxFrame: 0 })
  connection.exec(insert(32, 40))
  connection.close()
  compare(rig, { ...index, maxFrame: 0 })
  expect(rig.node.guarded).toEqual([])
  rig.consistent()
})

test('a WAL that is written, and of which nothing is captured for a second, is to be compared', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 200)
  connection.exec('PRAGMA cache_size = 1')
  rig.node.passTime()
  expect(rig.node.unexplained).toEqual([])
  connection.exec("BEGIN; UPDATE t SET b = 'spilled' || a")
  rig.node.passTime()
  expect(rig.node.unexplained).toEqual(['a.db'])
  connection.exec('COMMIT')
  rig.node.passTime()
  expect(rig.node.unexplained).toEqual(['a.db'])
})

test('a commit in a WAL that was removed while it was open, and has a successor, is rejected', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 20)
  connection.exec('PRAGMA wal_checkpoint(RESTART)')
  rig.node.mount.unlink('a.db-wal')
  const other = rig.node.mount.open('a.db-wal', CHOICES)
  const before = rig.node.position('a.db')
  expect(() => connection.exec(insert(21, 30))).toThrow()
  expect(rig.node.complaints().at(-1)).toMatch(/the WAL was removed while it was open/)
  expect(rig.node.position('a.db')).toEqual(before)
  expect(connection.value('SELECT count(*) FROM t')).toBe(20)
  other.close()
  expect(() => connection.exec(insert(21, 30))).toThrow()
  rig.consistent()
})

test('a database that is imported while its WAL is open has the transactions in that', () => {
  using source = new Rig()
  const writer = source.open('wal', 20)
  writer.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  writer.exec(insert(21, 30))
  const early = source.backing('a.db-wal').length
  writer.exec(insert(31, 40))
  const [file, wal] = [source.backing('a.db'), source.backing('a.db-wal')]
  using rig = new Rig()
  const copiedWal = rig.node.mount.open('a.db-wal', CHOICES)
  copiedWal.write(wal.subarray(0, early), 0)
  const copied = rig.node.mount.open('a.db', CHOICES)
  copied.write(file, 0)
  copied.close()
  expect(rig.txid()).toBe(1)
  for (let at = early; at < wal.length; at += FRAME_HEADER_SIZE + 1024)
    copiedWal.write(wal.subarray(at, at + FRAME_HEADER_SIZE + 1024), at)
  copiedWal.close()
  expect(rig.engine.open('a.db').value('SELECT count(*) FROM t')).toBe(40)
  rig.consistent()
})

test('the wal-index of a database that was removed says nothing about the next one of the name', () => {
  using rig = new Rig()
  const former = rig.open('wal', 40)
  const [index, inodes] = [indexOf(rig), inodesOf(rig)]
  former.close()
  rig.node.mount.unlink('a.db')
  const connection = rig.open('wal', 5)
  // Of random salts the former one looks later half of the time.
  for (const salt1 of [index.salt1, (index.salt1 + 2 ** 31) >>> 0]) compare(rig, { ...index, salt1 }, inodes)
  connection.exec(insert(6, 10))
  expect(rig.node.guarded).toEqual([])
  rig.consistent()
})
