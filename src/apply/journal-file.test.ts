import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, expect, test } from 'vitest'
import { JOURNAL_MAGIC } from '../sqlite/journal.ts'
import { DatabaseFile } from './database-file.ts'
import { hasJournal, rollBack, writeInPlace } from './journal-file.ts'
import { finish } from './steps.ts'
import type { Page } from './transaction.ts'

const root = mkdtempSync(join(tmpdir(), 'ltxd-journal-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
let made = 0

/** A database with more pages than one batch of the journal. */
function largeDatabase(): { path: string; before: Buffer } {
  const path = join(root, `${made++}.db`)
  const database = new Database(path)
  database.exec(
    'CREATE TABLE t (v); WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) INSERT INTO t SELECT zeroblob(4000) FROM n',
  )
  database.close()
  return { path, before: readFileSync(path) }
}

/** Yields `count` other pages, then fails as a writer that dies. */
function* dying(pageSize: number, count: number): Generator<Page> {
  const page = new Uint8Array(pageSize).fill(7)
  for (let pgno = 1; pgno <= count; pgno++) yield { pgno, page }
  throw new Error('died')
}

/** Interrupts a transaction: the file is changed, and the journal exists. */
function interrupted(path: string, before: Buffer, after: { pageSize: number; sizePages: number }): void {
  const file = DatabaseFile.open(path)
  expect(file.tryExclusive(0)).toBe(true)
  const size = { pageSize: 4096, sizePages: before.length / 4096 }
  expect(() => finish(writeInPlace(file, size, after, dying(after.pageSize, 6000)))).toThrow('died')
  file.close()
  expect(existsSync(`${path}-journal`)).toBe(true)
  expect(readFileSync(path).equals(before)).toBe(false)
}

const AFTER = [
  ['grows', { pageSize: 4096, sizePages: 7000 }],
  ['shrinks', { pageSize: 4096, sizePages: 40 }],
  ['has another page size', { pageSize: 1024, sizePages: 7000 }],
] as const

test.each(AFTER)('SQLite rolls back an interrupted transaction after which the database %s', (_, after) => {
  const { path, before } = largeDatabase()
  interrupted(path, before, after)
  const database = new Database(path)
  expect(database.prepare('SELECT count(*) AS n FROM t').get()).toEqual({ n: 1500 })
  expect(database.pragma('integrity_check', { simple: true })).toBe('ok')
  database.close()
  expect(existsSync(`${path}-journal`)).toBe(false)
  expect(readFileSync(path).equals(before)).toBe(true)
})

test.each(AFTER)('the next start rolls back an interrupted transaction after which the database %s', (_, after) => {
  const { path, before } = largeDatabase()
  interrupted(path, before, after)
  const file = DatabaseFile.open(path)
  expect(hasJournal(file)).toBe(true)
  expect(file.tryExclusive(0)).toBe(true)
  rollBack(file)
  file.close()
  expect(existsSync(`${path}-journal`)).toBe(false)
  expect(readFileSync(path).equals(before)).toBe(true)
})

/** What a journal ends with that names a super-journal (pager.c, writeSuperJournal). */
function trailer(name: string): Buffer {
  const text = Buffer.from(name)
  const numbers = Buffer.alloc(8)
  numbers.writeUInt32BE(text.length, 0)
  numbers.writeUInt32BE(
    text.reduce((total, byte) => total + byte, 0),
    4,
  )
  return Buffer.concat([Buffer.from([0, 0, 0, 0]), text, numbers, Buffer.from(JOURNAL_MAGIC)])
}

/** True if the transaction counts as committed: its super-journal is gone. */
function countsAsCommitted(superJournal: string, journalOwner: number): boolean {
  const { path, before } = largeDatabase()
  interrupted(path, before, { pageSize: 4096, sizePages: 7000 })
  appendFileSync(`${path}-journal`, trailer(superJournal))
  chownSync(`${path}-journal`, journalOwner, journalOwner)
  const file = DatabaseFile.open(path)
  expect(file.tryExclusive(0)).toBe(true)
  rollBack(file)
  file.close()
  expect(existsSync(`${path}-journal`)).toBe(false)
  return !readFileSync(path).equals(before)
}

test.runIf(process.geteuid?.() === 0)(
  'what a journal becomes tells its owner nothing of a directory that the owner may not search',
  () => {
    const secret = join(root, 'secret')
    mkdirSync(secret, { mode: 0o700 })
    chmodSync(root, 0o755)
    writeFileSync(join(secret, 'there'), '')
    expect(['there', 'missing'].map((name) => countsAsCommitted(join(secret, name), 0))).toEqual([false, true])
    expect(['there', 'missing'].map((name) => countsAsCommitted(join(secret, name), 65_534))).toEqual([false, false])
    chmodSync(secret, 0o711)
    expect(['there', 'missing'].map((name) => countsAsCommitted(join(secret, name), 65_534))).toEqual([false, true])
  },
)

test('a super-journal with a name that no file can have is not gone', () => {
  expect(countsAsCommitted(join(root, 'x'.repeat(300)), process.geteuid?.() ?? 0)).toBe(false)
})
