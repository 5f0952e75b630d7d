import fs from 'node:fs'
import Sqlite from 'better-sqlite3'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { InProcessNode } from '../../test/harness/in-process/node-in-process.ts'
import { SqliteEngine } from '../../test/harness/in-process/sqlite-engine.ts'
import type { Journal } from './journal.ts'
import { hasJournalMagic, parseJournal, readSuperName } from './journal.ts'

const PAGE_SIZES = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]

const recordsOf = (journal?: Journal) => Array.from(journal?.records ?? [])

interface Hot {
  readonly journal: Buffer
  /** The database file in the middle of the transaction, partly overwritten. */
  readonly during: Buffer
  readonly before: Buffer
}

/** The files on disk in the middle of a transaction that has spilled from a cache of a few pages. */
function makeHot(pageSize: number, synchronous: string, journalMode = 'DELETE'): Hot {
  using temporary = temporaryDirectory()
  const path = `${temporary.dir}/a.db`
  const db = new Sqlite(path)
  db.pragma(`page_size = ${pageSize}`)
  db.pragma(`journal_mode = ${journalMode}`)
  db.pragma(`synchronous = ${synchronous}`)
  const rows = Math.max(40, (40 * pageSize) / 1024)
  db.exec(
    'CREATE TABLE t (a INTEGER PRIMARY KEY, b);' +
      `INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows}) SELECT i, randomblob(800) FROM n`,
  )
  const before = fs.readFileSync(path)
  db.pragma('cache_size = 5')
  db.exec('BEGIN; UPDATE t SET b = randomblob(900)')
  const hot = { journal: fs.readFileSync(`${path}-journal`), during: fs.readFileSync(path), before }
  db.exec('ROLLBACK')
  db.close()
  return hot
}

const readerOf = (bytes: Buffer) => (at: number, length: number) => bytes.subarray(at, at + length)
const parse = (bytes: Buffer) => parseJournal(readerOf(bytes), bytes.length)

function rollBack({ journal, during }: Hot, { records, initialSizePages, pageSize }: Journal): Buffer {
  const file = Buffer.alloc(Math.max(during.length, initialSizePages * pageSize))
  during.copy(file)
  for (const { pgno, dataOffset } of records)
    journal.copy(file, (pgno - 1) * pageSize, dataOffset, dataOffset + pageSize)
  return file.subarray(0, initialSizePages * pageSize)
}

/** By SQLite itself, from the same files. */
function rolledBackBySqlite({ journal, during }: Hot): Buffer {
  using temporary = temporaryDirectory()
  const path = `${temporary.dir}/a.db`
  fs.writeFileSync(path, during)
  fs.writeFileSync(`${path}-journal`, journal)
  const db = new Sqlite(path)
  db.prepare('SELECT count(*) FROM t').get()
  db.close()
  return fs.readFileSync(path)
}

for (const synchronous of ['OFF', 'NORMAL', 'FULL']) {
  test.each(PAGE_SIZES)(
    `synchronous ${synchronous}, page size %i: a hot journal rolls back to what was before, as SQLite does it`,
    (pageSize) => {
      const hot = makeHot(pageSize, synchronous)
      const journal = parse(hot.journal)
      expect(journal?.pageSize).toBe(pageSize)
      expect(journal?.initialSizePages).toBe(hot.before.length / pageSize)
      expect(hot.during.equals(hot.before), 'the transaction has spilled').toBe(false)
      expect(rollBack(hot, journal as Journal).equals(hot.before)).toBe(true)
      expect(rolledBackBySqlite(hot).equals(hot.before)).toBe(true)
    },
  )
}

test('a journal of several segments is read through', () => {
  const hot = makeHot(1024, 'FULL')
  const headers = Array.from({ length: hot.journal.length / 512 }, (_, i) => i * 512).filter((at) =>
    hasJournalMagic(hot.journal.subarray(at, at + 8)),
  )
  expect(headers.length).toBeGreaterThan(2)
  expect(rollBack(hot, parse(hot.journal) as Journal).equals(hot.before)).toBe(true)
})

test.each(['TRUNCATE', 'PERSIST', 'DELETE'])(
  '%s: the file that an ended transaction leaves is not a journal',
  (mode) => {
    using temporary = temporaryDirectory()
    const path = `${temporary.dir}/a.db`
    const db = new Sqlite(path)
    db.pragma(`journal_mode = ${mode}`)
    db.exec('CREATE TABLE t (a); INSERT INTO t VALUES (1); DELETE FROM t')
    const left = fs.existsSync(`${path}-journal`) ? fs.readFileSync(`${path}-journal`) : Buffer.alloc(0)
    db.close()
    expect(left.length > 0).toBe(mode === 'PERSIST')
    expect(parse(left)).toBeUndefined()
  },
)

test('records of an older transaction after the last record are ignored', () => {
  const hot = makeHot(1024, 'FULL', 'PERSIST')
  const small = makeHot(1024, 'FULL')
  const whole = parse(small.journal) as Journal
  const overOlder = Buffer.concat([small.journal, hot.journal.subarray(small.journal.length)])
  expect(recordsOf(parse(overOlder)).slice(0, whole.records.length)).toEqual(recordsOf(whole))
  expect(rollBack({ ...small, journal: overOlder }, parse(overOlder) as Journal).equals(small.before)).toBe(true)
})

test('a torn record ends the journal', () => {
  const { journal } = makeHot(1024, 'OFF')
  const whole = parse(journal) as Journal
  const third = recordsOf(whole)[2]
  if (third === undefined) throw new Error('the journal holds at least three records')
  const damaged = Buffer.from(journal)
  const checksumAt = third.dataOffset + whole.pageSize
  damaged[checksumAt] = (damaged[checksumAt] as number) ^ 1
  expect(recordsOf(parse(damaged))).toEqual(recordsOf(whole).slice(0, 2))
  const cut = journal.subarray(0, third.dataOffset + 100)
  expect(recordsOf(parse(cut))).toEqual(recordsOf(whole).slice(0, 2))
})

test('a record count that was never synced means no records', () => {
  const { journal } = makeHot(1024, 'FULL')
  const unsynced = Buffer.from(journal)
  unsynced.writeUInt32BE(0, 8)
  expect(recordsOf(parse(unsynced))).toEqual([])
})

test('the super-journal that a transaction over two databases names is found in its journal', () => {
  using temporary = temporaryDirectory()
  const node = new InProcessNode({ dataDir: temporary.dir })
  const engine = new SqliteEngine(node.mount, { seed: 1 })
  const connection = engine.open('a.db')
  connection.exec(`CREATE TABLE t (a); ATTACH '${engine.prefix}b.db' AS b; CREATE TABLE b.u (a)`)
  const found: (string | undefined)[] = []
  let superName: string | undefined
  node.mount.before = ({ kind, path }) => {
    if (kind !== 'unlink' || !path.includes('-mj')) return
    superName = path
    for (const name of ['a.db', 'b.db']) {
      const journal = fs.readFileSync(`${node.root}/${name}-journal`)
      found.push(readSuperName(readerOf(journal), journal.length))
      expect(parse(journal)?.superJournal).toBe(found.at(-1))
    }
  }
  connection.exec('BEGIN; INSERT INTO t VALUES (1); INSERT INTO u VALUES (1); COMMIT')
  expect(found).toEqual([engine.prefix + superName, engine.prefix + superName])
  node.close()
})

test('a super-journal name with a wrong checksum or length is ignored', () => {
  const name = Buffer.from('/dir/a.db-mj0123456789')
  const tail = Buffer.alloc(16)
  tail.writeUInt32BE(name.length, 0)
  tail.writeUInt32BE(
    name.reduce((sum, byte) => sum + byte, 0),
    4,
  )
  tail.set([0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7], 8)
  const whole = Buffer.concat([Buffer.alloc(100), name, tail])
  const read = (bytes: Buffer) => readSuperName(readerOf(bytes), bytes.length)
  expect(read(whole)).toBe(name.toString())
  for (const at of [whole.length - 16, whole.length - 9, whole.length - 1, 105]) {
    const damaged = Buffer.from(whole)
    damaged[at] = (damaged[at] as number) ^ 0x40
    expect(read(damaged)).toBeUndefined()
  }
  expect(read(whole.subarray(whole.length - 20))).toBeUndefined()
})
