/** What another user made beside a database: nothing is written into it, and nothing is believed of it. */

import fs from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { filesBeneath } from '../util/files-beneath.ts'
import { Applier } from './applier.ts'
import { SIDE_SUFFIXES } from './beside.ts'
import { DatabaseFile } from './database-file.ts'
import { isForeign } from './foreign-file.ts'
import { makeNew } from './make-file.ts'
import { MemoryPositions, Source } from './testing.ts'
import { bytesInMemory } from './transaction.ts'

const NOBODY = 65_534
const SECRET = 'secret-of-the-owner'
const IS_ROOT = process.geteuid?.() === 0
const { O_CREAT, O_RDWR } = fs.constants

/** A file of another user that he has open. */
function plant(path: string, content: string | Uint8Array = ''): number {
  const fd = fs.openSync(path, 'w+', 0o666)
  fs.fchmodSync(fd, 0o666)
  fs.writeFileSync(fd, content)
  fs.fchownSync(fd, NOBODY, NOBODY)
  return fd
}

test.runIf(IS_ROOT).each(['wal', 'delete'])(
  'in %s mode nothing is written into what another user made beside the database',
  (mode) => {
    using temporary = temporaryDirectory()
    const source = new Source(join(temporary.dir, 'source.db'))
    source.commit(`PRAGMA journal_mode = ${mode}; CREATE TABLE t (x)`)
    source.commit(`INSERT INTO t VALUES ('${SECRET}')`)
    const path = join(temporary.dir, 'x.db')
    const positions = new MemoryPositions()
    const first = Applier.open(path, { positions })
    first.apply(bytesInMemory(source.states[0]!.ltx))
    first.close()
    const held = SIDE_SUFFIXES.map((suffix) => plant(path + suffix))
    const applier = Applier.open(path, { positions })
    for (const fd of SIDE_SUFFIXES.filter((suffix) => !fs.existsSync(path + suffix)).map((suffix) =>
      plant(path + suffix),
    ))
      held.push(fd)
    for (const { ltx } of source.states.slice(1)) applier.apply(bytesInMemory(ltx))
    for (const suffix of mode === 'wal' ? ['-wal', '-shm'] : []) {
      const found = fs.lstatSync(path + suffix)
      expect({ suffix, uid: found.uid, mode: found.mode & 0o777 }).toEqual({ suffix, uid: 0, mode: 0o600 })
    }
    for (const fd of held) expect(fs.fstatSync(fd).size).toBe(0)
    applier.close()
    source.close()
    const reader = new Database(path)
    expect(reader.prepare('SELECT x FROM t').pluck().all()).toEqual([SECRET])
    reader.close()
  },
)

test.runIf(IS_ROOT)('a database that is in use waits, and says who made the file beside it', () => {
  using temporary = temporaryDirectory()
  const path = join(temporary.dir, 'x.db')
  const reader = new Database(path)
  reader.exec('PRAGMA journal_mode = wal; CREATE TABLE t (x); INSERT INTO t VALUES (1)')
  fs.chmodSync(path, 0o600)
  fs.chownSync(`${path}-shm`, NOBODY, NOBODY)
  const open = () => Applier.open(path, { positions: new MemoryPositions(), acceptUnknown: true }).close()
  expect(open).toThrow(/x\.db-shm belongs to user 65534, who may not write to the database, and .* uses the database/)
  reader.close()
  open()
})

test.runIf(IS_ROOT)('what another user made is neither rolled back into the database nor removed', () => {
  using temporary = temporaryDirectory()
  const path = join(temporary.dir, 'x.db')
  const writer = new Database(path)
  // Otherwise the header of its journal is complete only at the commit.
  writer.exec('PRAGMA synchronous = off; CREATE TABLE t (x)')
  writer.exec("BEGIN; INSERT INTO t VALUES ('not committed')")
  const journal = fs.readFileSync(`${path}-journal`)
  writer.exec('COMMIT')
  writer.close()
  fs.chmodSync(path, 0o600)
  plant(`${path}-journal`, journal)
  const before = fs.readFileSync(path)
  const open = () => Applier.open(path, { positions: new MemoryPositions(), acceptUnknown: true }).close()
  expect(open).toThrow(/x\.db-journal belongs to user 65534, who may not write to the database: move it away/)
  expect(fs.readFileSync(path).equals(before)).toBe(true)
  expect(fs.readFileSync(`${path}-journal`).equals(journal)).toBe(true)
})

test.runIf(IS_ROOT).each([
  ['junk', 'wal'],
  ['junk', 'delete'],
  ['a journal', 'wal'],
] as const)(
  'another user’s file that is %s under the name of a journal holds up no database in %s mode',
  (what, mode) => {
    using temporary = temporaryDirectory()
    const path = join(temporary.dir, 'x.db')
    const writer = new Database(path)
    writer.exec('PRAGMA synchronous = off; CREATE TABLE t (x)')
    writer.exec("BEGIN; INSERT INTO t VALUES ('not committed')")
    const journal = fs.readFileSync(`${path}-journal`)
    writer.exec(`COMMIT; PRAGMA journal_mode = ${mode}`)
    fs.chmodSync(path, 0o600)
    const reader = writer.prepare('SELECT x FROM t').pluck()
    const rows = reader.iterate()
    rows.next()
    plant(`${path}-journal`, what === 'junk' ? Buffer.alloc(600, 'junk') : journal)
    Applier.open(path, { positions: new MemoryPositions(), acceptUnknown: true }).close()
    expect(fs.existsSync(`${path}-journal`)).toBe(false)
    rows.return?.()
    expect(reader.all()).toEqual(['not committed'])
    writer.close()
  },
)

test.runIf(IS_ROOT).each(SIDE_SUFFIXES)('a file of root that lets everybody in gets nothing as %s', (suffix) => {
  using temporary = temporaryDirectory()
  const path = join(temporary.dir, 'x.db')
  fs.chmodSync(temporary.dir, 0o777)
  // Another user has it open, and renames it.
  for (const [mode, gid] of [
    [0o644, 0],
    [0o640, NOBODY],
  ] as const) {
    fs.writeFileSync(path + suffix, suffix === '-wal' ? '' : 'of root', { mode })
    fs.chmodSync(path + suffix, mode)
    fs.chownSync(path + suffix, 0, gid)
    const held = fs.openSync(path + suffix, 'r')
    const file = DatabaseFile.open(path)
    fs.chmodSync(path, 0o640)
    if (gid === 0) fs.chmodSync(path, 0o600)
    const fd = file.openBeside(suffix, O_RDWR | O_CREAT | (suffix === '-journal' ? fs.constants.O_TRUNC : 0))
    expect(fs.fstatSync(fd).ino).not.toBe(fs.fstatSync(held).ino)
    expect(fs.fstatSync(fd)).toMatchObject({ uid: 0, gid: 0, size: 0, mode: fs.fstatSync(file.fd).mode })
    for (const each of [fd, held]) fs.closeSync(each)
    file.close()
  }
})

test.runIf(IS_ROOT).each([0o700, 0o777])(
  'a reader’s empty WAL of his own group is written into where nobody else can have moved it to: a directory of mode %o',
  (directory) => {
    using temporary = temporaryDirectory()
    const path = join(temporary.dir, 'x.db')
    const reader = new Database(path)
    reader.exec('PRAGMA journal_mode = wal; CREATE TABLE t (x)')
    reader.pragma('wal_checkpoint(TRUNCATE)')
    // Users other than root make it so, because only root can give it to the database's group.
    fs.chmodSync(`${path}-wal`, 0o660)
    fs.chownSync(path, 0, NOBODY)
    fs.chmodSync(path, 0o660)
    fs.chmodSync(temporary.dir, directory)
    const { ino } = fs.statSync(`${path}-wal`)
    const file = DatabaseFile.open(path)
    const use = () => fs.closeSync(file.openBeside('-wal', O_RDWR | O_CREAT))
    if (directory === 0o777) expect(use).toThrow(/x\.db-wal lets in users who may not open the database/)
    else use()
    expect(fs.statSync(`${path}-wal`)).toMatchObject({ ino, gid: directory === 0o777 ? 0 : NOBODY })
    file.close()
    reader.close()
  },
)

test.runIf(IS_ROOT)('what is beside a database that is made is not of it', () => {
  using temporary = temporaryDirectory()
  const path = join(temporary.dir, 'x.db')
  for (const suffix of SIDE_SUFFIXES) fs.writeFileSync(path + suffix, 'of root', { mode: 0o600 })
  const files = filesBeneath(temporary.dir)
  DatabaseFile.open(path, files, () => makeNew(files, path)).close()
  expect(fs.readdirSync(temporary.dir)).toEqual(['x.db'])
})

test('a WAL with frames is no file of another use, and is narrowed', () => {
  using temporary = temporaryDirectory()
  const path = join(temporary.dir, 'x.db')
  const writer = new Database(path)
  writer.exec('PRAGMA journal_mode = wal; CREATE TABLE t (x)')
  const wal = fs.readFileSync(`${path}-wal`)
  writer.close()
  fs.writeFileSync(`${path}-wal`, wal)
  fs.chmodSync(`${path}-wal`, 0o644)
  fs.chmodSync(path, 0o600)
  const file = DatabaseFile.open(path)
  fs.closeSync(file.openBeside('-wal', O_RDWR | O_CREAT))
  expect(fs.readFileSync(`${path}-wal`).equals(wal)).toBe(true)
  expect(fs.statSync(`${path}-wal`).mode & 0o777).toBe(0o600)
  file.close()
})

test.runIf(IS_ROOT)('a database that appears is made anew, or not at all', () => {
  using temporary = temporaryDirectory()
  const path = join(temporary.dir, 'x.db')
  const file = DatabaseFile.open(path)
  expect(fs.fstatSync(file.fd).mode & 0o777).toBe(0o600)
  fs.closeSync(file.openBeside('-wal', O_RDWR | O_CREAT))
  file.close()
})

test('who may write to a database may have made what is beside it', () => {
  const database = { uid: 1, gid: 2, mode: 0o600 }
  const of = (uid: number) => Object.assign(new fs.Stats(), { uid, mode: fs.constants.S_IFREG | 0o666 })
  const foreign = (uid: number, mode: number, groups: number[] = []) =>
    isForeign(of(uid), { ...database, mode }, () => groups)
  expect([foreign(1, 0o600), foreign(0, 0o600), foreign(process.geteuid?.() ?? 0, 0o600)]).toEqual([
    false,
    false,
    false,
  ])
  expect([foreign(4444, 0o600), foreign(4444, 0o644), foreign(4444, 0o660, [3])]).toEqual([true, true, true])
  expect([foreign(4444, 0o666), foreign(4444, 0o660, [3, 2])]).toEqual([false, false])
  expect([foreign(4444, 0o640, [2]), foreign(4444, 0o600, [2])]).toEqual([true, true])
})
