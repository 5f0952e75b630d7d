/** Data directories with their backups: one after a clean stop, one after a crash. */

import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SqlClient } from '../../cluster/sql-client.ts'
import { type DatabaseFacts, type Installation, pack } from '../fixture.ts'
import { Station } from '../station.ts'
import { Chronicle } from './chronicle.ts'
import { create, insert, writeHistory } from './history.ts'

const MANY = 'many.db'
/** Enough for three segments. */
const MANY_TRANSACTIONS = 700

interface Place {
  readonly dir: string
  readonly data: string
  readonly backup: string
}

/** Its history diverged from the backup's, so it also has transactions in `diverged/`. */
export async function writeClean(archive: string): Promise<Installation> {
  const place = newPlace()
  const { data, backup } = place
  const fork = `${data}-fork`
  let written
  {
    await using station = await Station.start({ data, backup })
    written = await writeHistory(station, backup)
    await station.shell('echo "not a database" > notes.txt')
    await station.stop()
  }
  cpSync(data, fork, { recursive: true, preserveTimestamps: true })
  // Two histories: one transaction is shipped from here, another is committed in a copy without a backup.
  await commitOne({ data, backup }, 'app.db', 'here')
  await commitOne({ data: fork }, 'app.db', 'elsewhere')
  await using station = await Station.start({ data: fork, backup })
  const many = await fillSegments(station)
  const again = written.databases.map((before) => new Chronicle(station, before.name, before))
  for (const chronicle of again) await chronicle.note()
  const databases: DatabaseFacts[] = []
  for (const chronicle of [...again, many]) databases.push(await chronicle.facts(backup))
  await station.stop()
  const untouched = filesBelow(fork, 'diverged')
  if (untouched.length < 2) throw new Error('nothing was set aside')
  expectFiles(fork, [
    'log/app.db.ltx/clean.json',
    'log/app.db.ltx/pages.bin',
    'log/app.db.ltx/synced.json',
    'node.json',
  ])
  expectSegments(fork)
  await packPlace({ ...place, data: fork }, archive)
  return { archive: 'clean.tar.gz', databases, dropped: [...written.dropped], untouched }
}

/** Killed with a WAL that was not checkpointed, hot journals, and commits that are not in the backup. */
export async function writeKilled(archive: string): Promise<Installation> {
  const place = newPlace()
  const { data, backup } = place
  const modes = { 'app.db': 'WAL', 'tenants/a.db': 'DELETE', 'persist.db': 'PERSIST' }
  const chronicles: Chronicle[] = []
  {
    await using station = await Station.start({ data, backup })
    for (const [name, mode] of Object.entries(modes)) {
      const chronicle = new Chronicle(station, name)
      const client = await station.open(name)
      await create(client, mode)
      await chronicle.note()
      await chronicle.after(client, insert(4, 60))
      chronicles.push(chronicle)
    }
    await station.stop()
  }
  await using station = await Station.start({ data })
  const databases: DatabaseFacts[] = []
  for (const before of chronicles) {
    const chronicle = new Chronicle(station, before.name, before)
    const client = await station.open(chronicle.name)
    await client.exec(insert(61, 70))
    await client.exec("UPDATE t SET body = body || ' and on' WHERE n > 50")
    databases.push(await chronicle.facts(backup))
    await leaveUnfinished(client)
  }
  await station.node.killTree()
  await station[Symbol.asyncDispose]()
  expectFiles(data, ['files/app.db-wal', 'files/tenants/a.db-journal', 'files/persist.db-journal'])
  for (const name of ['tenants/a.db', 'persist.db']) {
    const magic = readFileSync(join(data, `files/${name}-journal`))
      .subarray(0, 8)
      .toString('hex')
    if (magic !== 'd9d505f920a163d7') throw new Error(`the journal of ${name} is not hot`)
  }
  await packPlace(place, archive)
  return { archive: 'killed.tar.gz', databases, dropped: [], untouched: [] }
}

/** Leaves a transaction open that has already written to the file or to the WAL. */
async function leaveUnfinished(client: SqlClient): Promise<void> {
  await client.exec("PRAGMA cache_size = 1; BEGIN; UPDATE t SET body = 'unfinished ' || n")
}

async function commitOne(options: { data: string; backup?: string }, name: string, body: string): Promise<void> {
  await using station = await Station.start(options)
  await (await station.open(name)).exec(`INSERT INTO t (body) VALUES ('${body}')`)
  if (options.backup !== undefined) await station.shipped(name)
  await station.stop()
}

async function fillSegments(station: Station): Promise<Chronicle> {
  const chronicle = new Chronicle(station, MANY)
  const client = await station.open(MANY)
  await create(client, 'WAL')
  await chronicle.note()
  const statements = Array.from({ length: MANY_TRANSACTIONS }, (_, i) => `UPDATE t SET body = 'state ${i}' WHERE n = 1`)
  await chronicle.after(client, statements.join(';'))
  return chronicle
}

function newPlace(): Place {
  const dir = mkdtempSync(join(tmpdir(), 'ltxd-fixture-'))
  const backup = join(dir, 'backup')
  mkdirSync(backup)
  return { dir, data: join(dir, 'data'), backup: `file://${backup}` }
}

async function packPlace({ data, backup }: Place, archive: string): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'ltxd-pack-'))
  const options = { recursive: true, preserveTimestamps: true }
  cpSync(data, join(dir, 'data'), options)
  cpSync(backup.slice('file://'.length), join(dir, 'backup'), options)
  await pack(dir, archive)
}

function filesBelow(data: string, name: string): string[] {
  const all = readdirSync(join(data, name), { recursive: true, encoding: 'utf8' })
  return all.map((path) => `${name}/${path}`).filter((path) => statSync(join(data, path)).isFile())
}

function expectFiles(data: string, names: readonly string[]): void {
  for (const name of names) {
    if (!existsSync(join(data, name)) || statSync(join(data, name)).size === 0) throw new Error(`no ${name} in ${data}`)
  }
}

function expectSegments(data: string): void {
  const segments = readdirSync(join(data, `log/${MANY}.ltx`)).filter((name) => name.endsWith('.ltxlog'))
  if (segments.length < 3) throw new Error(`${MANY} has only ${segments.length} segments`)
}
