/** What a database in somebody else's directory has beside it: links there lead nowhere. */

import {
  chmodSync,
  chownSync,
  closeSync,
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

const openBeside = (suffix: string, flags = 0) => {
  const file = DatabaseFile.open(path)
  try {
    closeSync(file.openBeside(suffix as '-wal', constants.O_RDWR | constants.O_CREAT | flags))
  } finally {
    file.close()
  }
}

test.each([
  ['-wal', 0],
  ['-shm', 0],
  ['-journal', constants.O_TRUNC],
])('a hard link as %s is an error, and the file that it is stays as it is', (suffix, flags) => {
  makeDatabase(path, 'delete')
  linkSync(outside, path + suffix)
  chmodSync(outside, 0o600)
  expect(() => openBeside(suffix, flags)).toThrow('is a hard link to a file that has another name, too')
  expect(readFileSync(outside, 'utf8')).toBe('not ours')
  expect(statSync(outside).mode & 0o777).toBe(0o600)
})

test('a hard link in the place of a database is an error', () => {
  makeDatabase(join(dir, 'other.db'), 'delete')
  linkSync(join(dir, 'other.db'), path)
  expect(() => DatabaseFile.open(path)).toThrow('is a hard link to a file that has another name, too')
})

test.runIf(process.geteuid?.() === 0)(
  'a file of a user who may not write to the database gets none of its pages, and one of another user who may does',
  () => {
    makeDatabase(path, 'wal')
    chmodSync(path, 0o600)
    writeFileSync(`${path}-wal`, '')
    chownSync(`${path}-wal`, 65_534, 65_534)
    openBeside('-wal')
    expect(statSync(`${path}-wal`).uid).toBe(0)
    writeFileSync(`${path}-wal`, 'frames')
    chownSync(`${path}-wal`, 65_534, 65_534)
    chmodSync(path, 0o666)
    openBeside('-wal')
    expect(statSync(`${path}-wal`).uid).toBe(65_534)
  },
)

test('a WAL that lets in more users than the database is narrowed before anything is written to it', () => {
  makeDatabase(path, 'wal')
  chmodSync(path, 0o600)
  writeFileSync(`${path}-wal`, 'frames')
  chmodSync(`${path}-wal`, 0o644)
  openBeside('-wal')
  expect(statSync(`${path}-wal`).mode & 0o777).toBe(0o600)
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
