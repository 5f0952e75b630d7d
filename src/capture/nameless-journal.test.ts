import { expect, test } from 'vitest'
import { insert, Rig } from '../../test/harness/in-process/rig.ts'

/** `a.db` in PERSIST mode, whose connection keeps its journal open; another connection has removed it. */
function withNamelessJournal(rig: Rig) {
  const connection = rig.open('persist', 60)
  connection.exec("PRAGMA cache_size = 2; PRAGMA locking_mode = EXCLUSIVE; UPDATE t SET b = 'x' WHERE a = 1")
  rig.node.mount.unlink('a.db-journal')
  return connection
}

test('what a killed application wrote beside a journal without a name is rolled back by the next connection', () => {
  using rig = new Rig()
  const connection = withNamelessJournal(rig)
  const sizeBytes = connection.value('SELECT sum(length(b)) FROM t')
  connection.exec(`BEGIN; UPDATE t SET b = 'changed ' || b; ${insert(1000, 1100)}`)
  const before = rig.txid()
  connection.kill()
  const next = rig.engine.open('a.db')
  expect(next.value('PRAGMA integrity_check')).toBe('ok')
  expect(next.value('SELECT sum(length(b)) FROM t')).toBe(sizeBytes)
  next.close()
  expect(rig.txid()).toBe(before)
  rig.consistent()
})

test('what a killed application wrote beside a journal whose name another file has is in the log, as SQLite reads it', () => {
  using rig = new Rig()
  const connection = withNamelessJournal(rig)
  connection.exec("BEGIN; UPDATE t SET b = 'changed ' || b")
  rig.node.mount.open('a.db-journal', { create: true, exclusive: true, readOnly: false }).close()
  const before = rig.txid()
  connection.kill()
  expect(rig.txid()).toBe(before + 1)
  rig.consistent()
})

test('a transaction beside a journal without a name is captured when it commits, and not when it is rolled back', () => {
  using rig = new Rig()
  const connection = withNamelessJournal(rig)
  const before = rig.txid()
  connection.exec(insert(1000, 1100))
  expect(rig.txid()).toBe(before + 1)
  connection.exec(`BEGIN; ${insert(2000, 2100)}; ROLLBACK`)
  expect(connection.value('SELECT max(a) FROM t')).toBe(1100)
  connection.close()
  rig.consistent()
})

test('the closing of a journal without a name does not end the transaction of the journal that followed it', () => {
  using rig = new Rig()
  const connection = rig.open('persist', 60)
  const stale = rig.node.mount.open('a.db-journal', { create: false, exclusive: false, readOnly: false })
  rig.node.mount.unlink('a.db-journal')
  connection.exec(`PRAGMA cache_size = 2; BEGIN; ${insert(1000, 1100)}`)
  const before = rig.txid()
  stale.close()
  expect(rig.txid()).toBe(before)
  connection.exec('COMMIT')
  expect(rig.txid()).toBe(before + 1)
  connection.close()
  rig.consistent()
})

test('the removal of a file with the name of a journal that has none ends no transaction', () => {
  using rig = new Rig()
  const connection = withNamelessJournal(rig)
  connection.exec(`BEGIN; ${insert(1000, 1100)}`)
  const before = rig.txid()
  rig.node.mount.open('a.db-journal', { create: true, exclusive: true, readOnly: false }).close()
  rig.node.mount.unlink('a.db-journal')
  expect(rig.txid()).toBe(before)
  connection.exec('COMMIT')
  expect(rig.txid()).toBe(before + 1)
  connection.close()
  rig.consistent()
})

test('a journal without a name in one database does not keep others from committing across databases', () => {
  using rig = new Rig()
  withNamelessJournal(rig).exec(`BEGIN; ${insert(1000, 1100)}`)
  rig.open('delete', 3, 'c.db').close()
  const connection = rig.open('delete', 3, 'b.db')
  connection.exec(`ATTACH '${rig.engine.prefix}c.db' AS c`)
  const before = rig.txid('c.db')
  connection.exec(`BEGIN; INSERT INTO t VALUES (10, 'x'); INSERT INTO c.t VALUES (10, 'x'); COMMIT`)
  connection.close()
  expect(rig.txid('c.db')).toBe(before + 1)
  for (const name of ['b.db', 'c.db']) rig.consistent(name)
})

test('a transaction across databases is captured in that whose journal has no name, too', () => {
  using rig = new Rig()
  rig.open('delete', 3, 'c.db').close()
  const connection = withNamelessJournal(rig)
  connection.exec(`ATTACH '${rig.engine.prefix}c.db' AS c`)
  const before = rig.txid()
  const unlinked: number[] = []
  rig.node.mount.after = ({ kind }) => void (kind === 'unlink' && unlinked.push(rig.txid() - before))
  connection.exec(`BEGIN; INSERT INTO t VALUES (10000, 'x'); INSERT INTO c.t VALUES (10, 'x'); COMMIT`)
  rig.node.mount.after = () => {}
  // The first thing that is removed is the super-journal.
  expect(unlinked[0]).toBe(1)
  connection.close()
  for (const name of ['a.db', 'c.db']) rig.consistent(name)
})

const MAGIC = Buffer.from('d9d505f920a163d7', 'hex')

/** A journal of `a.db` that a program has open, and whose name another file has by now. */
function withFormerJournal(rig: Rig) {
  const connection = rig.open('persist', 60)
  const former = rig.node.mount.open('a.db-journal', { create: false, exclusive: false, readOnly: false })
  rig.node.mount.unlink('a.db-journal')
  connection.exec("UPDATE t SET b = 'x' WHERE a = 1")
  return { connection, former }
}

const end = (journal: { write(data: Uint8Array, position: number): void }) => {
  journal.write(Buffer.alloc(MAGIC.length), 0)
}

test('a journal whose name another one has ends no transaction of that one', () => {
  using rig = new Rig()
  const { connection, former } = withFormerJournal(rig)
  connection.exec(`PRAGMA cache_size = 2; BEGIN; ${insert(1000, 1100)}`)
  const before = rig.txid()
  expect(() => former.write(MAGIC, 0)).toThrow(/another journal is under way/)
  end(former)
  former.close()
  expect(rig.txid()).toBe(before)
  connection.exec('ROLLBACK')
  expect(rig.consistent().commit).toBeGreaterThan(0)
})

test.each(['persist', 'wal'])('a journal of a database that was removed is none of the next one (%s)', (mode) => {
  using rig = new Rig()
  const { connection, former } = withFormerJournal(rig)
  connection.close()
  rig.node.mount.unlink('a.db')
  const next = rig.open(mode, 100)
  if (mode === 'persist') next.exec(`PRAGMA cache_size = 2; BEGIN; ${insert(1000, 1100)}`)
  const before = rig.txid()
  former.write(MAGIC, 0)
  end(former)
  former.close()
  expect(rig.txid()).toBe(before)
  if (mode === 'persist') next.exec('COMMIT')
  rig.consistent()
})

test('what begins as a journal beside a WAL with transactions is rejected, and captures nothing', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 100)
  const before = rig.txid()
  const journal = rig.node.mount.open('a.db-journal', { create: true, exclusive: false, readOnly: false })
  expect(() => journal.write(MAGIC, 0)).toThrow(/transactions in its WAL/)
  end(journal)
  journal.close()
  expect(rig.txid()).toBe(before)
  rig.consistent()
  connection.exec(insert(101, 110))
  rig.consistent()
})

test('a WAL is not written while a journal would roll its database back', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 100)
  connection.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  const before = rig.txid()
  const journal = rig.node.mount.open('a.db-journal', { create: true, exclusive: false, readOnly: false })
  journal.write(MAGIC, 0)
  expect(() => connection.exec(insert(101, 200))).toThrow(/disk I\/O error/)
  end(journal)
  journal.close()
  expect(rig.txid()).toBe(before)
  rig.consistent()
  connection.exec(insert(101, 200))
  rig.consistent()
})

test('a database leaves WAL mode, and goes back, with all its transactions', () => {
  using rig = new Rig()
  const connection = rig.open('wal', 100)
  for (const [i, mode] of ['delete', 'wal', 'persist', 'wal', 'truncate', 'wal'].entries()) {
    connection.exec(`PRAGMA journal_mode = ${mode}`)
    connection.exec(insert(1000 * (i + 1), 1000 * (i + 1) + 50))
    rig.consistent()
  }
})
