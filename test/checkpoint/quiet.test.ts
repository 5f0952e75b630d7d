import { copyFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import Sqlite from 'better-sqlite3'
import { expect, test } from 'vitest'
import { until } from '../harness/wait.ts'
import { CheckpointedNode } from './checkpointed-node.ts'
import { OldSqlite } from './old-sqlite.ts'

const DATABASE = 'a.db'

/** The number of rows in the database's file, without its WAL; undefined where the table is not in the file. */
function rowsInFile(node: CheckpointedNode): unknown {
  const copy = `${node.node.options.data}/copy.db`
  copyFileSync(node.behind(DATABASE), copy)
  const database = new Sqlite(copy)
  try {
    return database.prepare('SELECT count(*) FROM t').pluck().get()
  } catch {
    return undefined
  } finally {
    database.close()
  }
}

test.each([1, 2])('a second after the last commit the file has everything, with %i connections', async (count) => {
  await using node = await CheckpointedNode.start()
  const first = new OldSqlite(node.at(DATABASE))
  await using _first = first
  await first.sql('PRAGMA journal_mode = WAL')
  await first.sql('CREATE TABLE t(x)')
  const others = Array.from({ length: count - 1 }, () => new OldSqlite(node.at(DATABASE)))
  for (const other of others) await other.sql('SELECT * FROM t')
  for (let rows = 1; rows <= 3; rows++) {
    await first.sql('INSERT INTO t VALUES (1)')
    await until(`${rows} rows in the file`, 60_000, () => rowsInFile(node) === rows)
  }
  const { checkpoint } = (await node.status(DATABASE)) ?? {}
  const made = checkpoint?.count ?? 0
  await sleep(2_500)
  expect((await node.status(DATABASE))?.checkpoint?.count, 'a whole database is left alone').toBe(made)
  for (const other of others) await other.close()
  if (count > 1) await node.guarded(DATABASE, false)
  expect(await first.value('PRAGMA journal_mode = DELETE')).toBe('delete')
  await first.close()
  await node.stopAndCompare(DATABASE)
  expect(node.log).not.toMatch(/I11|checkpoint failed|reports an error/)
})

test('a reader delays only what it needs: the file gets the rest, and everything when the reader has ended', async () => {
  await using node = await CheckpointedNode.start()
  const first = new OldSqlite(node.at(DATABASE))
  await using _first = first
  await first.sql('PRAGMA journal_mode = WAL')
  await first.sql('CREATE TABLE t(x)')
  await first.sql('INSERT INTO t VALUES (1)')
  const reader = new OldSqlite(node.at(DATABASE))
  await using _reader = reader
  await reader.sql('BEGIN')
  await reader.sql('SELECT * FROM t')
  await first.sql('INSERT INTO t VALUES (2)')
  await until('what the reader sees to be in the file', 60_000, () => rowsInFile(node) === 1)
  await sleep(1_500)
  expect(rowsInFile(node)).toBe(1)
  await reader.sql('COMMIT')
  await until('all rows to be in the file', 60_000, () => rowsInFile(node) === 2)
})
