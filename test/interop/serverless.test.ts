/** The functions of serverless.yml, packaged as for a deployment and called in a process of their own, on a real S3 server. */
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SEED } from '../../src/backup/testing.ts'
import { compactUpTo } from '../../src/backup/upkeep.ts'
import { formatChecksum, formatTXID, toTXID } from '../../src/ltx/types.ts'
import { openObjectStore } from '../../src/objectstore/open.ts'
import type { ObjectStore } from '../../src/objectstore/objectstore.ts'
import { findS3Server, S3Server } from '../harness/s3-server.ts'
import { filesOf, flaws, Fleet } from '../workers/fleet.ts'

const run = promisify(execFile)
const ROOT = join(import.meta.dirname, '..', '..')
const there = findS3Server('versitygw') !== undefined
if (!there && process.env.CI === 'true') throw new Error('versitygw is not installed')

/** Calls a handler as Lambda does, and prints what it returns as the last line. */
const INVOKE = `
const [file, event, remainingMs] = process.argv.slice(2)
const { handler } = await import(file)
const context = { getRemainingTimeInMillis: () => Number(remainingMs) }
try {
  console.log(JSON.stringify(await handler(JSON.parse(event), context)))
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
`

describe.skipIf(!there)(`packaged functions (LTXD_SEED=${SEED})`, () => {
  let dir: string
  let server: S3Server
  let url: string
  let store: ObjectStore
  let fleet: Fleet

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'ltxd-functions-'))
    await writeFile(join(dir, 'invoke.mjs'), INVOKE)
    // Neither a home with credentials nor any of this process's variables.
    const env = { PATH: process.env.PATH, HOME: dir }
    const osls = join(ROOT, 'node_modules', '.bin', 'osls')
    await run(process.execPath, [osls, 'package', '--package', join(dir, 'package')], {
      cwd: ROOT,
      env,
      timeout: 100_000,
    })
    for (const name of ['compact', 'restore']) {
      await run('python3', ['-m', 'zipfile', '-e', join(dir, 'package', `${name}.zip`), join(dir, name)])
    }
    server = await S3Server.start('versitygw')
    Object.assign(process.env, server.environment)
    url = await server.freshUrl('backups')
    store = openObjectStore(url)
    fleet = new Fleet(store, 3, SEED)
    for (let round = 0; round < 3; round++) await fleet.round(() => 3)
  })

  afterAll(async () => {
    await store.close()
    await server.stop()
    await rm(dir, { recursive: true, force: true })
  })

  async function invoke(name: string, event: unknown, environment: Record<string, string> = {}, remainingMs = 60_000) {
    const env = { PATH: process.env.PATH, HOME: dir, ...server.environment, LTXD_BACKUP_URL: url, ...environment }
    const handler = join(dir, name, 'workers', 'lambda', `${name}.mjs`)
    const args = [join(dir, 'invoke.mjs'), handler, JSON.stringify(event), String(remainingMs)]
    const { stdout } = await run(process.execPath, args, { cwd: dir, env, timeout: 60_000 })
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, unknown>
  }

  test('hold one bundle each, and nothing that is compiled', async () => {
    for (const name of ['compact', 'restore']) {
      const files = (await readdir(join(dir, name), { recursive: true, withFileTypes: true })).filter((file) =>
        file.isFile(),
      )
      expect(files.map((file) => file.name)).toEqual([`${name}.mjs`])
      const text = await readFile(join(dir, name, 'workers', 'lambda', `${name}.mjs`), 'utf8')
      expect(text).not.toMatch(/better-sqlite3|\.node['"]/)
    }
  })

  test('compact does to every database what it does here, file for file', async () => {
    // The same history in a second place, compacted by the function itself.
    const localUrl = `file://${dir}/local`
    const local = openObjectStore(localUrl)
    const twin = new Fleet(local, 3, SEED)
    for (let round = 0; round < 3; round++) await twin.round(() => 3)
    const { databases, postponed } = await invoke('compact', { source: 'aws.events' })
    expect(postponed).toEqual([])
    for (const { database } of fleet.databases) {
      const here = await compactUpTo(local, database, 3)
      const expected = here.map(({ level, min, max }) => ({ level, min: formatTXID(min), max: formatTXID(max) }))
      expect((databases as Record<string, unknown>)[database]).toEqual(expected)
      for (const level of [1, 2, 3]) expect(flaws(await filesOf(store, database, level))).toEqual([])
    }
    await local.close()
    expect(Object.values((await invoke('compact', {})).databases as object)).toEqual([[], [], []])
  })

  test('compact leaves to the next call what it has no time for', async () => {
    const result = await invoke('compact', {}, {}, 1)
    expect(result).toEqual({ databases: {}, postponed: fleet.databases.map(({ database }) => database).sort() })
  })

  test('restore writes a database to an object, and says the same when it is called again', async () => {
    const [played] = fleet.databases
    const txid = played!.position().txid
    const event = {
      database: played!.database,
      target: { kind: 'txid', txid: txid.toString(16) },
      output: { key: 'out/a.db' },
    }
    const expected = { txid: formatTXID(txid), checksum: formatChecksum(played!.checksums.get(txid)!), verified: true }
    for (let call = 0; call < 2; call++) expect(await invoke('restore', event)).toMatchObject(expected)
    const chunks: Uint8Array[] = []
    for await (const chunk of await store.get('out/a.db')) chunks.push(chunk)
    expect(Buffer.concat(chunks).equals(played!.states.get(toTXID(txid))!)).toBe(true)
  })

  test('what cannot be done is said', async () => {
    const output = { key: 'out/b.db' }
    const event = { database: 'nope.db', output }
    await expect(invoke('restore', event)).rejects.toThrow(/no backup of database nope\.db/)
    await expect(invoke('restore', { ...event, backup: url })).rejects.toThrow(/is the function's own/)
    await expect(invoke('restore', { database: 'a.db', output: { path: 'x' } })).rejects.toThrow(
      /writes no files|no backup/,
    )
    await expect(invoke('compact', {}, { LTXD_BACKUP_URL: '' })).rejects.toThrow(/LTXD_BACKUP_URL/)
    await expect(invoke('compact', {}, { LTXD_LEVEL: '9' })).rejects.toThrow(
      /LTXD_LEVEL is 9, expected a level from 1 to 8/,
    )
  })
})
