import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../../test/harness/in-process/node-in-process.ts'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'
import type { Connection } from '../../test/harness/in-process/sqlite-engine.ts'
import { recoverAndCheck } from '../../test/harness/in-process/verdict.ts'
import { DatabaseFilter } from '../capture/database-filter.ts'
import { openDataDirectory } from '../data/directory.ts'
import { inspectLog } from '../log/open.ts'
import { logDirectory } from '../log/store.ts'
import { nodeFiles } from '../util/files.ts'
import type { RecoveredDatabase } from './directory.ts'
import { planDirectory, recoverDirectory } from './directory.ts'
import { describeFindings, describeStep } from './text.ts'

/** Each row of the table of crashes that concerns a data directory: what is there, what is planned, what becomes of it. */

const FILE = 'files/a.db'

/** Everything about a directory that a change would show in. */
function stateOf(dir: string): unknown {
  return (fs.readdirSync(dir, { recursive: true }) as string[]).sort().map((name) => {
    const { ino, mode, size, mtimeNs, ctimeNs } = fs.statSync(`${dir}/${name}`, { bigint: true })
    const isFile = fs.statSync(`${dir}/${name}`).isFile()
    const content =
      isFile &&
      createHash('sha256')
        .update(fs.readFileSync(`${dir}/${name}`))
        .digest('hex')
    return { name, ino, mode, size, mtimeNs, ctimeNs, content }
  })
}

/** What is found and planned for a.db, one line each; nothing is changed by asking. */
function planned(dir: string): string {
  const before = stateOf(dir)
  const [plan] = planDirectory(dir, ['a.db'])
  expect(stateOf(dir), 'a dry run changes nothing').toEqual(before)
  if (plan === undefined) throw new Error('there is a.db')
  const found =
    plan.facts === undefined ? [] : describeFindings(plan.facts).map(({ what, state }) => `${what}: ${state}`)
  const steps = plan.plan.kind === 'recover' ? plan.plan.steps.map(describeStep) : [JSON.stringify(plan.plan)]
  return [...found, ...steps].join('\n')
}

/** Recovers a.db, and holds it against the invariants; a second time there is nothing left to do. */
function recovered(dir: string, warnings: string[] = []): RecoveredDatabase {
  const log = (level: string, message: string) => void (level === 'warn' && warnings.push(message))
  const [result] = recoverDirectory(dir, ['a.db'], 1 << 20, log)
  if (result === undefined) throw new Error('there is a.db')
  if (result.refusal !== undefined) return result
  expect(planned(dir)).toMatch(
    /file: .*, as a clean stop left it\njournal: none\nWAL: none\nnothing: a clean stop left it/,
  )
  expect(recoverAndCheck(dir, 'a.db').txid).toBe(result.position?.txid)
  return result
}

const bytesOf = (dir: string) => fs.readFileSync(`${dir}/${FILE}`)
const lastTXID = (rig: Rig) => BigInt(rig.txid())

/** A copy of the directory of `rig` as it is now, where a process would find it that comes after a crash. */
function crashed(rig: Rig): { dir: string } & Disposable {
  const temporary = temporaryDirectory()
  fs.cpSync(rig.dir, temporary.dir, { recursive: true })
  return temporary
}

/** In the middle of the transaction `sql`, which has spilled pages into the file. */
function crashedWithin(rig: Rig, connection: Connection, sql: string): { dir: string } & Disposable {
  connection.exec(`PRAGMA cache_size = 3; BEGIN; ${sql}`)
  const left = crashed(rig)
  connection.exec('ROLLBACK')
  return left
}

/** Takes the last transactions out of the log. */
function forget(dir: string, transactions: number): void {
  const from = inspectLog(nodeFiles, logDirectory(dir, 'a.db')).entries.at(-transactions)
  if (from === undefined) throw new Error('the log holds so many')
  fs.truncateSync(from.segment, from.offset - 24)
}

test.each([1, 4])('log has N, database is behind it by %i: the log is applied', (behind) => {
  using rig = new Rig()
  const connection = rig.open('delete', 60)
  for (let i = 0; i < 4 - behind; i++) connection.exec(insert(100 * i + 100, 100 * i + 120))
  rig.node.keep('a.db')
  const old = rig.backing('a.db')
  for (let i = 4 - behind; i < 4; i++) connection.exec(insert(100 * i + 100, 100 * i + 120))
  using left = crashed(rig)
  fs.writeFileSync(`${left.dir}/${FILE}`, old)
  expect(planned(left.dir)).toMatch(/write the transactions? .* of the log into the file\ncheck every page/)
  expect(recovered(left.dir).position?.txid).toBe(lastTXID(rig))
  expect(bytesOf(left.dir).equals(rig.backing('a.db'))).toBe(true)
})

test('log has N, database is behind it, the rest is in the WAL: folded, and the WAL is empty', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 60)
  connection.exec(insert(100, 160))
  using left = crashed(rig)
  expect(planned(left.dir)).toMatch(/WAL: \d complete transactions, all of them in the log\nwrite the transactions/)
  expect(recovered(left.dir).position?.txid).toBe(lastTXID(rig))
  expect(fs.existsSync(`${left.dir}/${FILE}-wal`)).toBe(false)
})

test('WAL holds complete transactions after the log’s last: captured again, same TXIDs', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 60)
  connection.exec(insert(100, 160))
  connection.exec('DELETE FROM t WHERE a % 5 = 0')
  using left = crashed(rig)
  forget(left.dir, 2)
  expect(planned(left.dir)).toMatch(/2 of them not in the log\n(.*\n)*take 2 transactions from the WAL/)
  expect(recovered(left.dir).position).toEqual(rig.node.position('a.db'))
})

test('residual differences on free-list leaves after a rollback: they become a new transaction', () => {
  using rig = new Rig()
  const connection = rig.open('delete', 400)
  connection.exec('DELETE FROM t WHERE a > 20')
  rig.node.keep('a.db')
  using left = crashedWithin(rig, connection, insert(1000, 1300, 'on a leaf'))
  const before = inspectLog(nodeFiles, logDirectory(left.dir, 'a.db')).last.txid
  expect(planned(left.dir)).toMatch(/roll the journal back: \d+ pages? get their old content\n(.*\n)*check every page/)
  expect(recovered(left.dir).position?.txid).toBe(before + 1n)
})

test.each([
  ['gone: committed, finish it', true],
  ['still there: undecided, rolled back', false],
])('journal whose super-journal is %s', (_row, gone) => {
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
  if (left === undefined) throw new Error('the super-journal was removed')
  using it = left
  const isLogged = inspectLog(nodeFiles, logDirectory(it.dir, 'a.db')).last.txid > before
  if (isLogged && gone) forget(it.dir, 1)
  const plan = planned(it.dir)
  expect(plan).toMatch(gone ? /super-journal is gone: committed\n/ : /super-journal is there: undecided\n/)
  expect(/make what the super-journal decided the next transaction/.test(plan)).toBe(gone)
  expect(recovered(it.dir).position?.txid).toBe(gone ? before + 1n : before)
})

test('file longer than page 1 says: the size of page 1 counts', () => {
  using rig = new Rig()
  rig.open('delete', 60).close()
  using left = crashed(rig)
  fs.appendFileSync(`${left.dir}/${FILE}`, Buffer.alloc(5000, 7))
  planned(left.dir)
  expect(recovered(left.dir).position?.txid).toBe(lastTXID(rig))
  expect(bytesOf(left.dir).equals(rig.backing('a.db'))).toBe(true)
})

test('hot journal on a node that lost the lease: rolled back, whoever leads', () => {
  let leads = true
  const authority = {
    get leads() {
      return leads
    },
    mayCommit: () => leads,
    isClient: () => false,
  }
  using rig = new Rig({ authority })
  const connection = rig.open('delete', 200)
  rig.node.keep('a.db')
  const before = rig.backing('a.db')
  connection.exec("PRAGMA cache_size = 3; BEGIN; UPDATE t SET b = 'lost ' || a")
  leads = false
  using left = crashed(rig)
  expect(() => connection.exec('COMMIT')).toThrow()
  expect(bytesOf(left.dir).equals(before), 'the transaction is in the file').toBe(false)
  expect(planned(left.dir)).toMatch(/journal: hot, \d+ pages?\nWAL: none\nroll the journal back/)
  expect(recovered(left.dir).position?.txid).toBe(lastTXID(rig))
  expect(bytesOf(left.dir).equals(before)).toBe(true)
})

test('torn tail in the WAL: cut at the last complete transaction', () => {
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

test('torn tail in the log: cut at the last complete transaction', () => {
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
  expect(warnings).toEqual([expect.stringMatching(/never finished: cut/)])
})

test('hot journal, log does not hold the transaction: roll back with the journal', () => {
  using rig = new Rig()
  const connection = rig.open('delete', 200)
  const before = rig.backing('a.db')
  using left = crashedWithin(rig, connection, "UPDATE t SET b = 'spilled ' || a")
  expect(bytesOf(left.dir).equals(before)).toBe(false)
  expect(planned(left.dir)).toMatch(/roll the journal back/)
  expect(recovered(left.dir).position?.txid).toBe(lastTXID(rig))
  expect(bytesOf(left.dir).equals(before)).toBe(true)
})

test('hot journal, log holds it complete: finish the commit', () => {
  using rig = new Rig()
  const connection = rig.open('delete', 200)
  let left: ({ dir: string } & Disposable) | undefined
  rig.node.mount.before = ({ kind, path }) => {
    if (kind === 'unlink' && path === 'a.db-journal') left = crashed(rig)
  }
  connection.exec("UPDATE t SET b = 'new ' || a")
  if (left === undefined) throw new Error('the journal was removed')
  using it = left
  fs.cpSync(logDirectory(rig.dir, 'a.db'), logDirectory(it.dir, 'a.db'), { recursive: true })
  expect(planned(it.dir)).toMatch(/roll the journal back.*\nwrite the transactions? .* of the log/)
  expect(recovered(it.dir).position?.txid).toBe(lastTXID(rig))
  expect(bytesOf(it.dir).equals(rig.backing('a.db'))).toBe(true)
})

test('checksum matches neither: refused, with the reason and what to do; nothing is touched', () => {
  using rig = new Rig()
  rig.open('delete', 100).close()
  rig.node.keep('a.db')
  using left = crashed(rig)
  const bytes = bytesOf(left.dir)
  bytes[1500] = (bytes[1500] as number) ^ 1
  fs.writeFileSync(`${left.dir}/${FILE}`, bytes)
  expect(planned(left.dir)).toMatch(/"refuse".*would not have the checksum of its last transaction/)
  expect(recovered(left.dir).refusal).toMatch(/first differing page: 2.*ltxd restore/s)
  expect(bytesOf(left.dir).equals(bytes)).toBe(true)
})

test('a damaged log: refused, and said which', () => {
  using rig = new Rig()
  rig.open('delete', 100).close()
  rig.node.keep('a.db')
  using left = crashed(rig)
  const { segment } = inspectLog(nodeFiles, logDirectory(left.dir, 'a.db')).entries.at(-1) ?? { segment: '' }
  const fd = fs.openSync(segment, 'r+')
  fs.writeSync(fd, 'damage', 200)
  fs.closeSync(fd)
  expect(planned(left.dir)).toMatch(/"refuse".*is damaged at byte/)
  expect(recovered(left.dir).refusal).toMatch(/is damaged at byte/)
})

test('a replacement of the log that a crash interrupted is seen through by a dry run', () => {
  using rig = new Rig()
  rig.open('delete', 100).close()
  using left = crashed(rig)
  const log = logDirectory(left.dir, 'a.db')
  fs.renameSync(log, `${log}.next`)
  expect(planned(left.dir)).toMatch(/^log: at /)
  expect(recovered(left.dir).position?.txid).toBe(lastTXID(rig))
})

test('a data directory that a node uses, or that is none, is left alone', () => {
  using rig = new Rig()
  rig.open('delete', 10).close()
  const node = openDataDirectory(rig.dir)
  for (const recover of [() => planDirectory(rig.dir, []), () => recoverDirectory(rig.dir, [], 1e6, () => {})]) {
    expect(recover).toThrow(expect.objectContaining({ code: 'DATA_IN_USE' }) as Error)
  }
  node.close()
  expect(planDirectory(rig.dir, []).map(({ name }) => name)).toEqual(['a.db'])
  expect(() => planDirectory(rig.dir, ['b.db'])).toThrow(/has no database "b.db".*it has a.db/)
  for (const recover of [planDirectory, (dir: string) => recoverDirectory(dir, [], 1e6, () => {})]) {
    expect(() => recover(`${rig.dir}/elsewhere`, [])).toThrow(expect.objectContaining({ code: 'NO_DATA' }) as Error)
  }
  expect(fs.existsSync(`${rig.dir}/elsewhere`)).toBe(false)
})

test('a file that no pattern names is none of the databases', () => {
  using rig = new Rig()
  rig.open('delete').close()
  fs.copyFileSync(`${rig.node.root}/a.db`, `${rig.node.root}/notes.txt`)
  const filter = new DatabaseFilter({ databases: ['*.db'], otherFiles: 'serve' })
  rig.node.leave()
  expect(planDirectory(rig.dir, [], filter).map(({ name }) => name)).toEqual(['a.db'])
  expect(recoverDirectory(rig.dir, [], 1e6, () => {}, filter).map(({ name }) => name)).toEqual(['a.db'])
  expect(planDirectory(rig.dir, []).map(({ name }) => name)).toEqual(['a.db', 'notes.txt'])
})
