/** What a database in somebody else's directory has beside it: links there lead nowhere. */

import {
  chownSync,
  constants,
  linkSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { LinkedNameError } from '../util/files-beneath.ts'
import { Applier } from './applier.ts'
import { DatabaseFile } from './database-file.ts'
import { ForeignPositionsError, PositionFile } from './positions.ts'
import { MemoryPositions } from './testing.ts'

let dir = ''
let path = ''
let outside = ''

beforeEach(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'ltxd-apply-links-')))
  path = join(dir, 'app.db')
  outside = join(dir, 'outside')
  writeFileSync(outside, 'not ours')
})
afterEach(() => {
  rmSync(dir, { recursive: true, force: true })
})

function makeDatabase(at: string, mode: string): void {
  const database = new Database(at)
  database.exec(`PRAGMA journal_mode = ${mode}; CREATE TABLE t (x)`)
  database.close()
}

test.each([
  ['wal', '-wal'],
  ['wal', '-shm'],
  ['delete', '-journal'],
])('in %s mode, a link as %s is an error, and what it names stays as it is', (mode, suffix) => {
  makeDatabase(path, mode)
  symlinkSync(outside, path + suffix)
  const open = () => Applier.open(path, { positions: new MemoryPositions(), acceptUnknown: true })
  expect(open).toThrow(LinkedNameError)
  expect(readFileSync(outside, 'utf8')).toBe('not ours')
})

test('a link as the record of positions is an error', () => {
  makeDatabase(path, 'wal')
  symlinkSync(outside, `${path}-ltxd`)
  expect(() => PositionFile.open(path)).toThrow(LinkedNameError)
  expect(readFileSync(outside, 'utf8')).toBe('not ours')
})

test.runIf(process.geteuid?.() === 0).each([
  ['wal', '-wal'],
  ['wal', '-shm'],
  ['delete', '-journal'],
])('in %s mode, a hard link to another user’s file as %s is an error, and that file stays as it is', (mode, suffix) => {
  makeDatabase(path, mode)
  chownSync(path, 65534, 65534)
  linkSync(outside, path + suffix)
  const run = () => {
    const file = DatabaseFile.open(path)
    try {
      file.openBeside(
        suffix as '-wal',
        constants.O_RDWR | constants.O_CREAT | (mode === 'delete' ? constants.O_TRUNC : 0),
      )
    } finally {
      file.close()
    }
  }
  expect(run).toThrow('is a hard link to a file of another user')
  expect(readFileSync(outside, 'utf8')).toBe('not ours')
  expect(statSync(outside).uid).toBe(0)
})

test('a hard link as the record of positions is an error', () => {
  makeDatabase(path, 'wal')
  linkSync(outside, `${path}-ltxd`)
  expect(() => PositionFile.open(path)).toThrow(ForeignPositionsError)
  expect(readFileSync(outside, 'utf8')).toBe('not ours')
})

test.runIf(process.geteuid?.() === 0)(
  'another user’s record of positions is an error, unless it is the directory’s owner',
  () => {
    makeDatabase(path, 'wal')
    writeFileSync(`${path}-ltxd`, '')
    chownSync(`${path}-ltxd`, 65_534, 65_534)
    expect(() => PositionFile.open(path)).toThrow(ForeignPositionsError)
    chownSync(dir, 65_534, 65_534)
    PositionFile.open(path).close()
  },
)

test('a database that is itself named by a link has its WAL where SQLite looks for it', () => {
  makeDatabase(path, 'wal')
  const link = join(dir, 'link.db')
  symlinkSync(path, link)
  const file = DatabaseFile.open(link)
  file.close()
  expect(file.path).toBe(path)
})
