import fs from 'node:fs'
import { expect, onTestFinished, test, vi } from 'vitest'
import { InProcessNode, temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { recoverAndCheck } from '../../test/harness/in-process/verdict.ts'
import { inspectLog } from '../log/open.ts'
import { logDirectory } from '../log/store.ts'
import { formatPosition, toTXID } from '../ltx/format/types.ts'
import { PageTable } from '../sqlite/page-table.ts'
import { nodeFiles } from '../util/files.ts'

/** A node that starts on a copy of `rig`'s directory, as after a crash. */
const crashed = (rig: Rig) => new Rig({}, rig.dir)
const count = (rig: Rig) => rig.engine.open('a.db').value('SELECT count(*) FROM t')
const segment = (rig: Rig) => {
  const dir = logDirectory(rig.dir, 'a.db')
  return `${dir}/${fs.readdirSync(dir).find((name) => name.endsWith('.ltxlog'))}`
}

/** Cuts the last transactions from the log. */
function forget(rig: Rig, transactions: number): void {
  const { entries } = inspectLog(nodeFiles, logDirectory(rig.dir, 'a.db'))
  const from = entries.at(-transactions)
  if (from === undefined) throw new Error(`the log has fewer than ${transactions} transactions`)
  fs.truncateSync(from.segment, from.offset - 24)
}

/** A copy of `rig`'s files in the middle of the transaction `sql`, which is then rolled back in `rig`. */
function inTheMiddle(rig: Rig, sql: string): { [Symbol.dispose](): void; directory: string } {
  const connection = rig.engine.open('a.db')
  connection.exec(`PRAGMA cache_size = 3; BEGIN; ${sql}`)
  const copy = new Rig({}, undefined)
  copy.node.close()
  fs.cpSync(rig.dir, copy.dir, { recursive: true })
  connection.exec('ROLLBACK')
  connection.close()
  return { directory: copy.dir, [Symbol.dispose]: () => fs.rmSync(copy.dir, { recursive: true, force: true }) }
}

test('I3: a file several transactions behind the log is brought up to it', () => {
  using rig = new Rig()
  const connection = rig.open('delete', 30)
  const old = rig.backing('a.db')
  for (let i = 0; i < 5; i++) connection.exec(insert(100 * i + 100, 100 * i + 120))
  fs.writeFileSync(`${rig.node.root}/a.db`, old)
  expect(recoverAndCheck(rig.dir, 'a.db').txid).toBe(rig.node.position('a.db').txid)
  using again = crashed(rig)
  expect(count(again)).toBe(135)
})

test('I3: a recovery that does not reach the checksum of its log removes nothing', () => {
  using rig = new Rig()
  rig.open('wal', 30).exec(insert(31, 60))
  using temporary = temporaryDirectory()
  const dataDir = `${temporary.dir}/data`
  fs.cpSync(rig.dir, dataDir, { recursive: true })
  const snapshot = vi.spyOn(PageTable.prototype, 'snapshot')
  onTestFinished(() => snapshot.mockRestore())
  snapshot.mockImplementation(() => BigUint64Array.of(1n))
  expect(() => new InProcessNode({ dataDir })).toThrow(/I3/)
  expect(fs.existsSync(`${dataDir}/files/a.db-wal`)).toBe(true)
})

test('the WAL’s transactions that the log lacks are captured with the same positions', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 30)
  connection.exec(insert(31, 60))
  connection.exec('DELETE FROM t WHERE a % 5 = 0')
  const position = formatPosition(rig.node.position('a.db'))
  forget(rig, 2)
  using again = crashed(rig)
  expect(formatPosition(again.node.position('a.db'))).toBe(position)
  expect(count(again)).toBe(48)
  again.consistent()
})

test('a torn tail of the WAL is not captured', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 30)
  connection.exec(insert(31, 60))
  forget(rig, 1)
  const wal = `${rig.node.root}/a.db-wal`
  fs.truncateSync(wal, fs.statSync(wal).size - 10)
  using again = crashed(rig)
  expect(count(again)).toBe(30)
  again.consistent()
})

test('a torn tail of the log is cut, and a warning is logged', () => {
  using rig = new Rig()
  const connection = rig.open('delete', 30)
  const before = rig.backing('a.db')
  connection.exec(insert(31, 60))
  fs.truncateSync(segment(rig), fs.statSync(segment(rig)).size - 3)
  fs.writeFileSync(`${rig.node.root}/a.db`, before)
  using again = crashed(rig)
  expect(again.txid()).toBe(rig.txid() - 1)
  expect(again.node.complaints()).toEqual([expect.stringMatching(/unfinished transaction, which was cut/)])
  again.consistent()
})

test('a hot journal whose transaction the log lacks is rolled back', () => {
  using rig = new Rig()
  rig.open('delete', 200).close()
  const before = rig.backing('a.db')
  using left = inTheMiddle(rig, "UPDATE t SET b = 'spilled ' || a")
  expect(fs.readFileSync(`${left.directory}/files/a.db`).equals(before)).toBe(false)
  using again = new Rig({}, left.directory)
  expect(again.backing('a.db').equals(before)).toBe(true)
  expect(again.txid()).toBe(rig.txid())
  expect(again.node.complaints()).toEqual([])
})

test('a transaction with a hot journal that the log holds is committed', () => {
  using rig = new Rig()
  const connection = rig.open('delete', 200)
  let copy: Rig | undefined
  rig.node.mount.before = ({ kind, path }) => {
    if (kind === 'unlink' && path === 'a.db-journal') fs.cpSync(rig.dir, `${rig.dir}-left`, { recursive: true })
  }
  connection.exec("UPDATE t SET b = 'new ' || a")
  try {
    fs.cpSync(logDirectory(rig.dir, 'a.db'), logDirectory(`${rig.dir}-left`, 'a.db'), { recursive: true })
    copy = new Rig({}, `${rig.dir}-left`)
    expect(copy.txid()).toBe(rig.txid())
    expect(copy.backing('a.db').equals(rig.backing('a.db'))).toBe(true)
  } finally {
    copy?.[Symbol.dispose]()
    fs.rmSync(`${rig.dir}-left`, { recursive: true })
  }
})

test.each(['truncate', 'persist'])('%s: an old journal that a power loss brought back changes nothing', (mode) => {
  using rig = new Rig()
  const connection = rig.open(mode, 60)
  let old: Buffer | undefined
  rig.node.mount.before = ({ kind, path }) => {
    const ends = kind === 'truncate' || kind === 'write'
    if (ends && path === 'a.db-journal') old = rig.backing('a.db-journal')
  }
  connection.exec("UPDATE t SET b = 'old ' || a WHERE a > 40")
  rig.node.mount.before = () => {}
  connection.exec(insert(61, 160))
  for (let a = 1; a < 5; a++) connection.exec(`UPDATE t SET b = 'new' WHERE a = ${a}`)
  rig.node.maintain('a.db')
  fs.writeFileSync(`${rig.node.root}/a.db-journal`, old as Buffer)
  using again = crashed(rig)
  expect(again.node.complaints()).toEqual([])
  expect(again.txid()).toBe(rig.txid())
  expect(again.backing('a.db').equals(rig.backing('a.db'))).toBe(true)
})

test('free-list leaves that differ after a rollback become a transaction', () => {
  using rig = new Rig()
  const connection = rig.open('delete', 400)
  connection.exec('DELETE FROM t WHERE a > 20')
  connection.close()
  rig.node.maintain('a.db')
  const before = rig.txid()
  using left = inTheMiddle(rig, insert(1000, 1300, 'on a leaf'))
  using again = new Rig({}, left.directory)
  expect(again.txid()).toBe(before + 1)
  expect(count(again)).toBe(20)
  again.consistent()
})

test('a file longer than page 1 says is truncated', () => {
  using rig = new Rig()
  rig.open('delete', 50).close()
  const bytes = rig.backing('a.db')
  fs.writeFileSync(`${rig.node.root}/a.db`, Buffer.concat([bytes, Buffer.alloc(5000, 7)]))
  using again = crashed(rig)
  expect(again.backing('a.db').equals(bytes)).toBe(true)
  expect(again.txid()).toBe(rig.txid())
})

test.each([
  ['gone', true],
  ['still there', false],
])('a journal whose super-journal is %s: both databases are committed or both rolled back', (_what, gone) => {
  using rig = new Rig()
  const connection = rig.open('delete', 30, 'a.db')
  rig.open('delete', 30, 'b.db').close()
  connection.exec(`ATTACH '${rig.engine.prefix}b.db' AS b`)
  const left = `${rig.dir}-left`
  const logged = ['a.db', 'b.db'].map((name) => fs.statSync(segmentOf(rig, name)).size)
  const copyNow = () => fs.cpSync(rig.dir, left, { recursive: true, force: true })
  rig.node.mount[gone ? 'after' : 'before'] = ({ kind, path }) => kind === 'unlink' && path.includes('-mj') && copyNow()
  connection.exec("BEGIN; UPDATE main.t SET b = 'both'; UPDATE b.t SET b = 'both'; COMMIT")
  try {
    if (gone) ['a.db', 'b.db'].forEach((name, i) => fs.truncateSync(segmentOf({ dir: left }, name), logged[i]))
    using again = new Rig({}, left)
    for (const name of ['a.db', 'b.db']) {
      const both = again.engine.open(name).value("SELECT count(*) FROM t WHERE b = 'both'")
      expect(both).toBe(gone ? 30 : 0)
      again.consistent(name)
    }
  } finally {
    fs.rmSync(left, { recursive: true })
  }
})

function segmentOf({ dir }: { dir: string }, name: string): string {
  const logDir = logDirectory(dir, name)
  return `${logDir}/${fs.readdirSync(logDir).find((file) => file.endsWith('.ltxlog'))}`
}

test('a missing database file is restored from a log that reaches back to the first transaction', () => {
  using rig = new Rig()
  const connection = rig.open('delete', 80)
  connection.exec("UPDATE t SET b = 'last' WHERE a = 80")
  connection.close()
  rig.node.maintain('a.db')
  const bytes = rig.backing('a.db')
  fs.rmSync(`${rig.node.root}/a.db`)
  using again = crashed(rig)
  expect(again.node.complaints()).toEqual([])
  expect(again.backing('a.db').equals(bytes)).toBe(true)
})

test('a missing directory is restored along with the database in it', () => {
  using rig = new Rig()
  fs.mkdirSync(`${rig.node.root}/sub`)
  rig.open('delete', 80, 'sub/a.db').close()
  const bytes = rig.backing('sub/a.db')
  fs.rmSync(`${rig.node.root}/sub`, { recursive: true })
  using again = crashed(rig)
  expect(again.backing('sub/a.db').equals(bytes)).toBe(true)
})

test('timestamps never decrease within a database, even if the clock goes back before a restart', () => {
  using rig = new Rig()
  const connection = rig.open('wal')
  for (let i = 0; i < 5; i++) connection.exec(`UPDATE t SET b = ${i}`)
  // Its clock starts at the same time as that of `rig`.
  using again = crashed(rig)
  again.engine.open('a.db').exec('UPDATE t SET b = 7')
  const { entries } = inspectLog(nodeFiles, logDirectory(again.dir, 'a.db'), toTXID(1))
  const times = entries.map(({ header }) => header.timestampMs)
  expect(times.length).toBeGreaterThan(6)
  expect(times).toEqual([...times].sort((a, b) => a - b))
})
