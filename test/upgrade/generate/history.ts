/** Work on a node's databases that leaves one of everything in its backup. */

import type { SqlClient } from '../../cluster/sql-client.ts'
import type { Station } from '../station.ts'
import { command, json } from './build.ts'
import { Chronicle, dropShipped, listed } from './chronicle.ts'

const CREATE = 'CREATE TABLE t (n INTEGER PRIMARY KEY, body TEXT); CREATE INDEX by_body ON t (body)'
/** For small fixtures. */
const SMALL = 'PRAGMA page_size = 1024'

export interface Written {
  readonly databases: readonly Chronicle[]
  readonly dropped: readonly string[]
}

/** Inserts rows `from` to `to`. */
export function insert(from: number, to: number): string {
  const series = `WITH RECURSIVE r(n) AS (VALUES (${from}) UNION ALL SELECT n + 1 FROM r WHERE n < ${to})`
  return `${series} INSERT INTO t SELECT n, 'row ' || n FROM r`
}

/** Creates a database with rows 1 to 3 in one transaction. */
export async function create(client: SqlClient, journalMode: string): Promise<void> {
  await client.exec(`${SMALL}; PRAGMA journal_mode = ${journalMode}`)
  await client.exec(`BEGIN; ${CREATE}; ${insert(1, 3)}; COMMIT`)
}

/**
 * Makes all levels, a snapshot, a database with a pruned level 0, one of each journal mode, one that was dropped, and
 * one that was created again with another page size.
 */
export async function writeHistory(station: Station, backup: string): Promise<Written> {
  const app = await levels(station, backup)
  const nested = await withoutLevel0(station, backup)
  const others = [await simple(station, 'truncate.db', 'TRUNCATE'), await simple(station, 'persist.db', 'PERSIST')]
  const again = await createdAgain(station, backup)
  await dropped(station, backup, 'gone.db')
  return { databases: [app, nested, ...others, again], dropped: ['gone.db'] }
}

/** Levels 0 to 3 and 9, and transactions after the last compaction. */
async function levels(station: Station, backup: string): Promise<Chronicle> {
  const chronicle = new Chronicle(station, 'app.db')
  const client = await station.open(chronicle.name)
  await create(client, 'WAL')
  await chronicle.note()
  await chronicle.after(client, insert(4, 20))
  await command(['compact', backup, chronicle.name])
  await chronicle.after(client, "UPDATE t SET body = body || ' again' WHERE n % 2 = 0")
  await chronicle.after(client, 'DELETE FROM t WHERE n % 3 = 0')
  await command(['compact', backup, chronicle.name])
  await command(['snapshot', backup, chronicle.name])
  await chronicle.after(client, insert(21, 30))
  await chronicle.after(client, 'CREATE TABLE u (id TEXT PRIMARY KEY, at INTEGER) WITHOUT ROWID')
  await chronicle.after(client, "INSERT INTO u VALUES ('last', 1)")
  await expectLevels(backup, chronicle.name, [0, 1, 2, 3, 9])
  return chronicle
}

/** Transactions that are in level 1 only, and one after them. */
async function withoutLevel0(station: Station, backup: string): Promise<Chronicle> {
  const chronicle = new Chronicle(station, 'tenants/a.db')
  const client = await station.open(chronicle.name)
  await create(client, 'DELETE')
  await chronicle.note()
  await chronicle.after(client, insert(4, 9))
  await command(['compact', backup, chronicle.name, '--level', '1'])
  await chronicle.after(client, insert(10, 12))
  await command(['compact', backup, chronicle.name, '--level', '1'])
  const pruned = ['backup', 'prune', backup, chronicle.name, '--level0-retention', '0s']
  const { databases } = await json<{ databases: { files: object[] }[] }>(pruned)
  if (databases[0]?.files.length === 0) throw new Error('nothing was pruned')
  await chronicle.after(client, insert(13, 14))
  return chronicle
}

async function simple(station: Station, name: string, journalMode: string): Promise<Chronicle> {
  const chronicle = new Chronicle(station, name)
  const client = await station.open(name)
  await create(client, journalMode)
  await chronicle.note()
  await chronicle.after(client, insert(4, 6))
  return chronicle
}

/** A database with a marker of each kind, and the snapshot after them. */
async function createdAgain(station: Station, backup: string): Promise<Chronicle> {
  const name = 'again.db'
  await dropped(station, backup, name)
  const chronicle = new Chronicle(station, name)
  const client = await station.open(name)
  await client.exec('PRAGMA page_size = 512; PRAGMA journal_mode = WAL')
  await client.exec(`BEGIN; ${CREATE}; ${insert(1, 4)}; COMMIT`)
  await chronicle.note()
  await chronicle.after(client, insert(5, 6))
  const { markers } = await listed(backup, name)
  const kinds = markers.map(({ kind }) => kind)
  if (!kinds.includes('reset')) throw new Error(`${name} has markers ${kinds.join(', ')}, none of a reset`)
  return chronicle
}

async function dropped(station: Station, backup: string, name: string): Promise<void> {
  const client = await station.open(name)
  await create(client, 'DELETE')
  await station.shipped(name)
  await station.leave(client)
  await station.shell('rm "$1"', name)
  await dropShipped(backup, name)
}

async function expectLevels(backup: string, name: string, expected: readonly number[]): Promise<void> {
  const { files } = await listed(backup, name)
  const levels = [...new Set(files.map(({ level }) => level))].sort((a, b) => a - b)
  if (levels.join() !== expected.join()) throw new Error(`${name} has levels ${levels.join(', ')}`)
}
