import fs from 'node:fs'
import Sqlite from 'better-sqlite3'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { frameSize, parseWalHeader, WAL_HEADER_SIZE } from './wal.ts'
import { scanWal } from './wal-scan.ts'

const PAGE_SIZES = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]

/** The WAL that SQLite leaves after `statements`, and the pages of the database at that time. */
function makeWal(pageSize: number, statements: string[]): { wal: Buffer; pages: Map<number, Buffer>; file: Buffer } {
  using temporary = temporaryDirectory()
  const path = `${temporary.dir}/a.db`
  const db = new Sqlite(path)
  db.pragma(`page_size = ${pageSize}`)
  db.pragma('journal_mode = WAL')
  db.pragma('wal_autocheckpoint = 0')
  for (const statement of statements) db.exec(statement)
  const wal = fs.readFileSync(`${path}-wal`)
  const before = fs.readFileSync(path)
  db.pragma('wal_checkpoint(TRUNCATE)')
  db.close()
  const file = fs.readFileSync(path)
  const pages = new Map<number, Buffer>()
  for (let at = 0; at < file.length; at += pageSize) pages.set(at / pageSize + 1, file.subarray(at, at + pageSize))
  return { wal, pages, file: before }
}

const SCRIPT = [
  'CREATE TABLE t (a INTEGER PRIMARY KEY, b)',
  'INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) SELECT i, hex(randomblob(200)) FROM n',
  'DELETE FROM t WHERE a % 2 = 0',
  'PRAGMA cache_size = 2; BEGIN; UPDATE t SET b = hex(randomblob(300)); UPDATE t SET b = hex(randomblob(100)) WHERE a < 20; COMMIT',
]

const readerOf = (bytes: Buffer) => (at: number, length: number) => bytes.subarray(at, at + length)

test.each(PAGE_SIZES)(
  'page size %i: every transaction is found, and its pages are those that a checkpoint writes',
  (pageSize) => {
    const { wal, pages, file } = makeWal(pageSize, SCRIPT)
    const content = scanWal(readerOf(wal), wal.length)
    expect(content?.header.pageSize).toBe(pageSize)
    expect(content?.transactions).toHaveLength(SCRIPT.length)
    const result = new Map<number, Buffer>()
    for (let at = 0; at < file.length; at += pageSize) result.set(at / pageSize + 1, file.subarray(at, at + pageSize))
    for (const { pages: written, commit } of content?.transactions ?? []) {
      for (const [pgno, at] of written) result.set(pgno, wal.subarray(at, at + pageSize))
      for (const pgno of result.keys()) if (pgno > commit) result.delete(pgno)
    }
    expect(result.size).toBe(pages.size)
    for (const [pgno, page] of pages) expect(result.get(pgno)?.equals(page), `page ${pgno}`).toBe(true)
  },
)

test('a WAL that ends anywhere holds exactly the transactions that end before', () => {
  const { wal } = makeWal(512, SCRIPT)
  const ends = scanWal(readerOf(wal), wal.length)?.transactions.map(({ end }) => end) ?? []
  for (let length = WAL_HEADER_SIZE; length <= wal.length; length += 97) {
    const found = scanWal(readerOf(wal.subarray(0, length)), length)?.transactions ?? []
    expect(found).toHaveLength(ends.filter((end) => end <= length).length)
  }
})

test('a flipped bit ends the WAL at the last transaction before it', () => {
  const { wal } = makeWal(512, SCRIPT)
  const whole = scanWal(readerOf(wal), wal.length)?.transactions ?? []
  for (let at = WAL_HEADER_SIZE; at < wal.length; at += 61) {
    const damaged = Buffer.from(wal)
    damaged[at] = (damaged[at] as number) ^ 0x10
    const found = scanWal(readerOf(damaged), damaged.length)?.transactions ?? []
    expect(found).toHaveLength(whole.filter(({ end }) => end <= at).length)
  }
})

test('frames of an older generation are ignored', () => {
  using temporary = temporaryDirectory()
  const path = `${temporary.dir}/a.db`
  const db = new Sqlite(path)
  db.pragma('journal_mode = WAL')
  db.exec('CREATE TABLE t (a); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)')
  db.pragma('wal_checkpoint(RESTART)')
  db.exec('INSERT INTO t VALUES (4)')
  const wal = fs.readFileSync(`${path}-wal`)
  db.close()
  expect(wal.length).toBeGreaterThan(WAL_HEADER_SIZE + 2 * frameSize(4096))
  expect(scanWal(readerOf(wal), wal.length)?.transactions).toHaveLength(1)
})

test.each([
  ['too short', (wal: Buffer) => wal.subarray(0, 31)],
  ['another magic', (wal: Buffer) => flip(wal, 0)],
  ['another version', (wal: Buffer) => flip(wal, 7)],
  ['an impossible page size', (wal: Buffer) => flip(wal, 10)],
  ['a wrong checksum', (wal: Buffer) => flip(wal, 31)],
])('a header with %s is no WAL', (_what, change) => {
  const { wal } = makeWal(1024, SCRIPT.slice(0, 1))
  expect(parseWalHeader(wal.subarray(0, WAL_HEADER_SIZE))).toBeDefined()
  const changed = change(wal)
  expect(scanWal(readerOf(changed), changed.length)).toBeUndefined()
})

function flip(bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes)
  changed[at] = (changed[at] as number) ^ 0x01
  return changed
}
