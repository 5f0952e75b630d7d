/** A hot journal that is copied in with its database is rolled back, whether or not the node restarts before. */

import fs from 'node:fs'
import { describe, expect, test } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { journalCopiedWith } from '../log/copied-journal.ts'
import { logDirectory } from '../log/store.ts'
import { parseJournal } from '../sqlite/journal.ts'
import { nodeFiles } from '../util/files.ts'

const CREATED = { create: true, exclusive: false, readOnly: false }
const OPENED = { create: false, exclusive: false, readOnly: false }

/** A database and its hot journal, as a copy of both takes them within a transaction that has spilled. */
interface Copied {
  readonly database: Buffer
  readonly journal: Buffer
  /** Of the last commit. */
  readonly sum: number
}

const SUM = 'SELECT sum(length(b)) FROM t'
const HALF = `PRAGMA cache_size = 2; BEGIN; UPDATE t SET b = 'changed ' || b; ${insert(1000, 1100)}`

function copied(half = HALF): Copied {
  using rig = new Rig()
  const connection = rig.open('delete', 60)
  const sum = connection.value(SUM) as number
  connection.exec(half)
  return { database: rig.backing('a.db'), journal: rig.backing('a.db-journal'), sum }
}

function write(rig: Rig, name: string, bytes: Uint8Array): void {
  const file = rig.node.mount.open(name, CREATED)
  file.truncate(0)
  file.write(bytes, 0)
  file.close()
}

function put(rig: Rig, name: string, bytes: Uint8Array, as = name): void {
  write(rig, name, bytes)
  rig.node.passTime()
  if (as !== name) rig.node.mount.rename(name, as)
}

/** A node that starts on a copy of `rig`'s directory, as after a crash. */
const crashed = (rig: Rig) => new Rig({}, rig.dir)

/** Reads the database as SQLite does. */
function expectCommitted(rig: Rig, sum: number): void {
  const connection = rig.engine.open('a.db')
  expect(connection.value('PRAGMA integrity_check')).toBe('ok')
  expect(connection.value(SUM)).toBe(sum)
  connection.close()
  rig.consistent()
  expect(fs.statSync(`${rig.node.root}/a.db-journal`, { throwIfNoEntry: false })?.size ?? 0).toBe(0)
  expect(isNoted(rig)).toBe(false)
}

const isNoted = (rig: Rig) => journalCopiedWith(nodeFiles, logDirectory(rig.dir, 'a.db')) !== undefined

const ORDERS = {
  'the database first'(rig: Rig, { database, journal }: Copied) {
    put(rig, 'a.db', database)
    put(rig, 'a.db-journal', journal)
  },
  'the journal first'(rig: Rig, { database, journal }: Copied) {
    put(rig, 'a.db-journal', journal)
    put(rig, 'a.db', database)
  },
  'the database first, each renamed into its place'(rig: Rig, { database, journal }: Copied) {
    put(rig, '.a.db.x', database, 'a.db')
    put(rig, '.a.db-journal.x', journal, 'a.db-journal')
  },
  'the journal first, and the database renamed into its place'(rig: Rig, { database, journal }: Copied) {
    put(rig, 'a.db-journal', journal)
    put(rig, '.a.db.x', database, 'a.db')
  },
  'the journal first, each renamed into its place'(rig: Rig, { database, journal }: Copied) {
    put(rig, '.a.db-journal.x', journal, 'a.db-journal')
    put(rig, '.a.db.x', database, 'a.db')
  },
}

for (const [order, copy] of Object.entries(ORDERS)) {
  for (const isOver of [false, true]) {
    const where = `${order}${isOver ? ', over another database' : ''}`
    const begin = (rig: Rig) => isOver && rig.open('delete', 200).close()

    test(`a hot journal copied with its database is rolled back by the next connection: ${where}`, () => {
      const files = copied()
      using rig = new Rig()
      begin(rig)
      copy(rig, files)
      expectCommitted(rig, files.sum)
    })

    test(`a hot journal copied with its database is rolled back by a start: ${where}`, () => {
      const files = copied()
      using rig = new Rig()
      begin(rig)
      copy(rig, files)
      using again = crashed(rig)
      expectCommitted(again, files.sum)
      using third = crashed(again)
      expectCommitted(third, files.sum)
    })
  }
}

for (const as of ['a.db', '.a.db.x']) {
  test(`a start between the copies of journal and database (${as}) loses nothing of either`, () => {
    const files = copied()
    using rig = new Rig()
    put(rig, 'a.db-journal', files.journal)
    using second = crashed(rig)
    put(second, as, files.database, 'a.db')
    using third = crashed(second)
    expectCommitted(second, files.sum)
    expectCommitted(third, files.sum)
  })
}

test('a crash within the rollback by a copied journal loses nothing', () => {
  const files = copied()
  const journal = parseJournal((at, length) => files.journal.subarray(at, at + length), files.journal.length)
  const { pageSize = 0, records = [] } = journal ?? {}
  using rig = new Rig()
  ORDERS['the database first'](rig, files)
  const fd = fs.openSync(`${rig.node.root}/a.db`, 'r+')
  let n = 0
  for (const { pgno, dataOffset } of records)
    if (n++ % 2 === 0) fs.writeSync(fd, files.journal, dataOffset, pageSize, (pgno - 1) * pageSize)
  fs.closeSync(fd)
  using again = crashed(rig)
  expectCommitted(again, files.sum)
})

test('what a crash damaged beside a copied journal is found', () => {
  const files = copied("PRAGMA cache_size = 2; BEGIN; UPDATE t SET b = 'changed ' || b WHERE a < 30")
  using rig = new Rig()
  put(rig, 'a.db', files.database)
  rig.node.maintain('a.db')
  put(rig, 'a.db-journal', files.journal)
  const path = `${rig.node.root}/a.db`
  const bytes = fs.readFileSync(path)
  bytes[bytes.length - 10] = (bytes[bytes.length - 10] as number) ^ 1
  fs.writeFileSync(path, bytes)
  using again = crashed(rig)
  expect(again.node.recovered.get('a.db')?.rejection).toMatch(/first differing page: \d+/)
})

describe('a copy that is shorter than its header says, over another database', () => {
  /** Within the writes of a commit that makes it longer: the first page is written. */
  const cut = (): Copied => {
    using rig = new Rig()
    const connection = rig.open('delete', 60)
    const sum = connection.value(SUM) as number
    let files: Copied | undefined
    rig.node.mount.after = ({ kind, path }) => {
      if (kind !== 'write' || path !== 'a.db') return
      files ??= { database: rig.backing('a.db'), journal: rig.backing('a.db-journal'), sum }
    }
    connection.exec(insert(1000, 1100))
    return files as Copied
  }

  test('is completed by its journal, if that comes soon', () => {
    const files = cut()
    using rig = new Rig()
    rig.open('delete', 200).close()
    const before = rig.txid()
    write(rig, 'a.db', files.database)
    write(rig, 'a.db-journal', files.journal)
    using early = crashed(rig)
    expect(early.consistent().txid).toBe(BigInt(before))
    rig.node.passTime()
    using again = crashed(rig)
    expectCommitted(rig, files.sum)
    expectCommitted(again, files.sum)
    expect(rig.txid()).toBe(before + 1)
  })

  test('is discarded, and its journal is rejected, so that the other one keeps its content', () => {
    const files = cut()
    using rig = new Rig()
    rig.open('delete', 200).close()
    const { checksum } = rig.consistent()
    put(rig, 'a.db', files.database)
    expect(() => put(rig, 'a.db-journal', files.journal)).toThrow(/rollback journal was rejected/)
    rig.node.mount.unlink('a.db-journal')
    expect(rig.consistent().checksum).toBe(checksum)
    using again = crashed(rig)
    expect(again.consistent().checksum).toBe(checksum)
  })
})

test('a copied journal that was removed rolls nothing back', () => {
  const files = copied()
  using rig = new Rig()
  ORDERS['the database first'](rig, files)
  rig.node.mount.unlink('a.db-journal')
  expect(isNoted(rig)).toBe(false)
  using again = crashed(rig)
  const left = again.backing('a.db')
  expect(left.equals(files.database.subarray(0, left.length))).toBe(true)
  expect(again.txid()).toBe(1)
})

test('the journal of a transaction after a copied one is that of SQLite', () => {
  const files = copied()
  using rig = new Rig()
  ORDERS['the database first'](rig, files)
  const connection = rig.engine.open('a.db')
  connection.exec("INSERT INTO t VALUES (5000, 'new')")
  const sum = connection.value(SUM) as number
  connection.exec(HALF)
  using again = crashed(rig)
  expectCommitted(again, sum)
})

test('a journal copied beside a database that has another page size is rolled back by a start', () => {
  using source = new Rig()
  const connection = source.open('delete', 60)
  const sum = connection.value(SUM) as number
  connection.exec('PRAGMA page_size = 4096')
  const states: Copied[] = []
  source.node.mount.after = ({ kind, path }) => {
    if (kind !== 'write' || path !== 'a.db' || !fs.existsSync(`${source.node.root}/a.db-journal`)) return
    states.push({ database: source.backing('a.db'), journal: source.backing('a.db-journal'), sum })
  }
  connection.exec('VACUUM')
  const last = states.at(-1)
  expect(last).toBeDefined()
  using rig = new Rig()
  if (last !== undefined) ORDERS['the database first'](rig, last)
  using again = crashed(rig)
  expectCommitted(again, sum)
})

test('a copied journal that claims pages that nobody has is not served', () => {
  const files = copied()
  files.journal.writeUInt32BE(0xfffffff0, 16)
  using rig = new Rig()
  ORDERS['the database first'](rig, files)
  using again = crashed(rig)
  expect(again.node.recovered.get('a.db')?.rejection).toMatch(/journal/)
})

test('a copied journal of the transaction that made its database is not taken for the end of it in silence', () => {
  using source = new Rig()
  const connection = source.engine.open('a.db')
  connection.exec(`PRAGMA page_size = 1024; PRAGMA cache_size = 2; BEGIN; CREATE TABLE t (a INTEGER PRIMARY KEY, b)`)
  connection.exec(insert(1, 500))
  const files = { database: source.backing('a.db'), journal: source.backing('a.db-journal'), sum: 0 }
  using rig = new Rig()
  ORDERS['the database first'](rig, files)
  using again = crashed(rig)
  const recovered = again.node.recovered.get('a.db')
  if (recovered === undefined || recovered.rejection === undefined) expect(recovered?.tracked ?? false).toBe(false)
})

test('a journal renamed beside a database that is open is rejected', () => {
  const files = copied()
  using rig = new Rig()
  put(rig, 'a.db', files.database)
  put(rig, 'other', files.journal)
  const file = rig.node.mount.open('a.db', OPENED)
  expect(() => rig.node.mount.rename('other', 'a.db-journal')).toThrow()
  file.close()
})
