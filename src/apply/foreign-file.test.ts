/** What another user made beside a database: nothing is written into it, and nothing is believed of it. */

import fs from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { Applier } from './applier.ts'
import { DatabaseFile, SIDE_SUFFIXES } from './database-file.ts'
import { isForeign } from './foreign-file.ts'
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
  writer.exec('CREATE TABLE t (x)')
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
