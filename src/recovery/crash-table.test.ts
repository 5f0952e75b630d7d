import fs from 'node:fs'
import { expect, test } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import { inspectLog } from '../log/open.ts'
import { logDirectory } from '../log/store.ts'
import { nodeFiles } from '../util/files.ts'
import { bytesOf, crashed, crashedWithin, FILE, forget, lastTXID, planned, recovered } from './testing.ts'

/** One test for each kind of crash: what is found, what is planned, and the state after recovery. */

test.each([1, 4])('log ahead of the database file by %i transactions: the log is replayed', (behind) => {
  using rig = new Rig()
  const connection = rig.open('delete', 60)
  for (let i = 0; i < 4 - behind; i++) connection.exec(insert(100 * i + 100, 100 * i + 120))
  rig.node.maintain('a.db')
  const old = rig.backing('a.db')
  for (let i = 4 - behind; i < 4; i++) connection.exec(insert(100 * i + 100, 100 * i + 120))
  using left = crashed(rig)
  fs.writeFileSync(`${left.dir}/${FILE}`, old)
  expect(planned(left.dir)).toMatch(/replay the log into the file: .*\nverify every page/)
  expect(recovered(left.dir).position?.txid).toBe(lastTXID(rig))
  expect(bytesOf(left.dir).equals(rig.backing('a.db'))).toBe(true)
})

test('log ahead of the database file, the rest in the WAL: replayed, and the WAL is removed', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 60)
  connection.exec(insert(100, 160))
  using left = crashed(rig)
  expect(planned(left.dir)).toMatch(/WAL: \d complete transactions, all of them in the log\nreplay the log/)
  expect(recovered(left.dir).position?.txid).toBe(lastTXID(rig))
  expect(fs.existsSync(`${left.dir}/${FILE}-wal`)).toBe(false)
})

test('complete transactions in the WAL after the log’s last: captured again with the same TXIDs', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 60)
  connection.exec(insert(100, 160))
  connection.exec('DELETE FROM t WHERE a % 5 = 0')
  using left = crashed(rig)
  forget(left.dir, 2)
  expect(planned(left.dir)).toMatch(/2 of them not in the log\n(.*\n)*capture 2 transactions of the WAL/)
  expect(recovered(left.dir).position).toEqual(rig.node.position('a.db'))
})

test('free-list leaves that differ after a rollback: they become a transaction', () => {
  using rig = new Rig()
  const connection = rig.open('delete', 400)
  connection.exec('DELETE FROM t WHERE a > 20')
  rig.node.maintain('a.db')
  using left = crashedWithin(rig, connection, insert(1000, 1300, 'on a leaf'))
  const before = inspectLog(nodeFiles, logDirectory(left.dir, 'a.db')).last.txid
  expect(planned(left.dir)).toMatch(/roll back the journal: \d+ pages?\n(.*\n)*verify every page/)
  expect(recovered(left.dir).position?.txid).toBe(before + 1n)
})

test.each([
  ['gone: the commit is finished', true],
  ['still there: the transaction is rolled back', false],
])('a journal whose super-journal is %s', (_row, gone) => {
  using rig = new Rig()
  const connection = rig.open('delete', 30, 'a.db')
  rig.open('delete', 30, 'b.db').close()
  connection.exec(`ATTACH '${rig.engine.prefix}b.db' AS b`)
  const before = rig.node.position('a.db').txid
  let left: ({ dir: string } & Disposable) | undefined
  rig.node.mount[gone ? 'after' : 'before'] = ({ kind, path }) => {
    if (kind === 'unlink' && path.includes('-mj')) left = crashed(rig)
  }
  connection.exec("BEGIN; UPDATE main.t SET b = 'both'; UPDATE b.t SET b = 'both'; COMMIT")
  if (left === undefined) throw new Error('the super-journal was not removed')
  using it = left
  const isLogged = inspectLog(nodeFiles, logDirectory(it.dir, 'a.db')).last.txid > before
  if (isLogged && gone) forget(it.dir, 1)
  const plan = planned(it.dir)
  expect(plan).toMatch(gone ? /super-journal is gone: committed\n/ : /super-journal exists: not committed\n/)
  expect(/commit the transaction of the super-journal as the next transaction/.test(plan)).toBe(gone)
  expect(recovered(it.dir).position?.txid).toBe(gone ? before + 1n : before)
})

test('file longer than page 1 says: truncated to the size in page 1', () => {
  using rig = new Rig()
  rig.open('delete', 60).close()
  using left = crashed(rig)
  fs.appendFileSync(`${left.dir}/${FILE}`, Buffer.alloc(5000, 7))
  planned(left.dir)
  expect(recovered(left.dir).position?.txid).toBe(lastTXID(rig))
  expect(bytesOf(left.dir).equals(rig.backing('a.db'))).toBe(true)
})

test('hot journal on a node that lost the lease: rolled back', () => {
  let leads = true
  const authority = {
    get leads() {
      return leads
    },
    mayCommit: () => leads,
    deadlineNs: 1n,
    mayAcknowledge: () => leads,
    isClient: () => false,
  }
  using rig = new Rig({ authority })
  const connection = rig.open('delete', 200)
  rig.node.maintain('a.db')
  const before = rig.backing('a.db')
  connection.exec("PRAGMA cache_size = 3; BEGIN; UPDATE t SET b = 'lost ' || a")
  leads = false
  using left = crashed(rig)
  expect(() => connection.exec('COMMIT')).toThrow()
  expect(bytesOf(left.dir).equals(before), 'the transaction is in the file').toBe(false)
  expect(planned(left.dir)).toMatch(/journal: hot, \d+ pages?\nWAL: none\nroll back the journal/)
  expect(recovered(left.dir).position?.txid).toBe(lastTXID(rig))
  expect(bytesOf(left.dir).equals(before)).toBe(true)
})

test('torn tail of the WAL: cut at the last complete transaction', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 60)
  connection.exec(insert(100, 160))
  using left = crashed(rig)
  forget(left.dir, 1)
  const wal = `${left.dir}/${FILE}-wal`
  fs.truncateSync(wal, fs.statSync(wal).size - 10)
  expect(planned(left.dir)).toMatch(/all of them in the log/)
  expect(recovered(left.dir).position?.txid).toBe(lastTXID(rig) - 1n)
})

test('torn tail of the log: cut at the last complete transaction', () => {
  using rig = new Rig()
  const connection = rig.open('delete', 60)
  const old = rig.backing('a.db')
  connection.exec(insert(100, 160))
  using left = crashed(rig)
  const { segment } = inspectLog(nodeFiles, logDirectory(left.dir, 'a.db')).entries.at(-1) ?? { segment: '' }
  fs.truncateSync(segment, fs.statSync(segment).size - 3)
  fs.writeFileSync(`${left.dir}/${FILE}`, old)
  expect(planned(left.dir)).toMatch(/^log: .*, with a torn tail\n/)
  const warnings: string[] = []
  expect(recovered(left.dir, warnings).position?.txid).toBe(lastTXID(rig) - 1n)
  expect(warnings).toEqual([expect.stringMatching(/unfinished transaction, which was cut/)])
})

test('hot journal, log without the transaction: rolled back', () => {
  using rig = new Rig()
  const connection = rig.open('delete', 200)
  const before = rig.backing('a.db')
  using left = crashedWithin(rig, connection, "UPDATE t SET b = 'spilled ' || a")
  expect(bytesOf(left.dir).equals(before)).toBe(false)
  expect(planned(left.dir)).toMatch(/roll back the journal/)
  expect(recovered(left.dir).position?.txid).toBe(lastTXID(rig))
  expect(bytesOf(left.dir).equals(before)).toBe(true)
})

test('hot journal, log with the whole transaction: the commit is finished', () => {
  using rig = new Rig()
  const connection = rig.open('delete', 200)
  let left: ({ dir: string } & Disposable) | undefined
  rig.node.mount.before = ({ kind, path }) => {
    if (kind === 'unlink' && path === 'a.db-journal') left = crashed(rig)
  }
  connection.exec("UPDATE t SET b = 'new ' || a")
  if (left === undefined) throw new Error('the journal was not removed')
  using it = left
  fs.cpSync(logDirectory(rig.dir, 'a.db'), logDirectory(it.dir, 'a.db'), { recursive: true })
  expect(planned(it.dir)).toMatch(/roll back the journal.*\nreplay the log/)
  expect(recovered(it.dir).position?.txid).toBe(lastTXID(rig))
  expect(bytesOf(it.dir).equals(rig.backing('a.db'))).toBe(true)
})

test('pages match no checksum: not served, with the reason and what to do, and nothing is changed', () => {
  using rig = new Rig()
  rig.open('delete', 100).close()
  rig.node.maintain('a.db')
  using left = crashed(rig)
  const bytes = bytesOf(left.dir)
  bytes[1500] = (bytes[1500] as number) ^ 1
  fs.writeFileSync(`${left.dir}/${FILE}`, bytes)
  expect(planned(left.dir)).toMatch(/"refuse".*would not have the checksum of its last transaction/)
  expect(recovered(left.dir).rejection).toMatch(/first differing page: 2.*ltxd restore/s)
  expect(bytesOf(left.dir).equals(bytes)).toBe(true)
})

test('damaged log: not served, and the damaged segment is named', () => {
  using rig = new Rig()
  rig.open('delete', 100).close()
  rig.node.maintain('a.db')
  using left = crashed(rig)
  const { segment } = inspectLog(nodeFiles, logDirectory(left.dir, 'a.db')).entries.at(-1) ?? { segment: '' }
  const fd = fs.openSync(segment, 'r+')
  fs.writeSync(fd, 'damage', 200)
  fs.closeSync(fd)
  expect(planned(left.dir)).toMatch(/"refuse".*is damaged at byte/)
  expect(recovered(left.dir).rejection).toMatch(/is damaged at byte/)
})
