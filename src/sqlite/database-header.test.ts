import Sqlite from 'better-sqlite3'
import { expect, test } from 'vitest'
import { parseDatabaseHeader, sizePages } from './database-header.ts'
import { freelistLeaves } from './freelist.ts'

function serialized(pageSize: number, sql: string): Buffer {
  const db = new Sqlite(':memory:')
  db.pragma(`page_size = ${pageSize}`)
  db.exec(sql)
  const bytes = db.serialize()
  db.close()
  return bytes
}

test.each([512, 1024, 2048, 4096, 8192, 16384, 32768, 65536])('page size %i is read from the header', (pageSize) => {
  const bytes = serialized(pageSize, 'CREATE TABLE t (a); CREATE TABLE u (a)')
  const header = parseDatabaseHeader(bytes)
  expect(header).toMatchObject({ pageSize, journalMode: 'rollback', writtenSizePages: 3 })
  expect(header && sizePages(header, bytes.length)).toBe(3)
})

test('a size that an old SQLite left outdated is ignored: the length of the file decides', () => {
  const bytes = serialized(1024, 'CREATE TABLE t (a)')
  bytes.writeUInt32BE(99, 24)
  const header = parseDatabaseHeader(bytes)
  expect(header && sizePages(header, 7 * 1024)).toBe(7)
})

test.each([
  ['nothing', Buffer.alloc(0)],
  ['99 bytes', serialized(512, 'CREATE TABLE t (a)').subarray(0, 99)],
  ['zeros', Buffer.alloc(4096)],
  ['another magic', change(0, 0x54)],
  ['a page size that is no power of two', change(17, 1)],
  ['a version from the future', change(19, 3)],
  ['another payload fraction', change(21, 65)],
])('%s is no database', (_what, bytes) => {
  expect(parseDatabaseHeader(bytes)).toBeUndefined()
})

function change(at: number, value: number): Buffer {
  const bytes = serialized(512, 'CREATE TABLE t (a)')
  bytes[at] = value
  return bytes
}

test('the leaves of the free-list are those that SQLite counts, without its trunks', () => {
  const rows =
    'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT randomblob(600) FROM n'
  const bytes = serialized(512, `CREATE TABLE t (a); INSERT INTO t ${rows}; DROP TABLE t; CREATE TABLE u (a)`)
  const header = parseDatabaseHeader(bytes)
  if (header === undefined) throw new Error('a database')
  const page = (pgno: number) => bytes.subarray((pgno - 1) * 512, pgno * 512)
  const leaves = freelistLeaves(header.freelistTrunk, bytes.length / 512, page)
  let trunks = 0
  for (let trunk = header.freelistTrunk; trunk !== 0; trunk = page(trunk).readUInt32BE(0)) {
    trunks++
    expect(leaves.has(trunk)).toBe(false)
  }
  expect(trunks).toBeGreaterThan(3)
  expect(leaves.size + trunks).toBe(header.freelistCount)
})

test('the search ends in a free-list that runs in a circle', () => {
  const trunk = Buffer.alloc(512)
  trunk.writeUInt32BE(2, 0)
  trunk.writeUInt32BE(1, 4)
  trunk.writeUInt32BE(3, 8)
  expect(Array.from(freelistLeaves(2, 5, () => trunk).sorted())).toEqual([3])
})
