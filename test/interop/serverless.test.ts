/**
 * The functions of serverless.yml, packaged as for a deployment, and called in a process of their own with a real S3
 * server.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { builtinModules } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { compactUpTo } from '../../src/backup/upkeep/upkeep.ts'
import { formatChecksum, formatTXID, toTXID } from '../../src/ltx/format/types.ts'
import type { ObjectStore } from '../../src/objectstore/objectstore.ts'
import { openObjectStore } from '../../src/objectstore/stores/open.ts'
import { SEED } from '../harness/effort.ts'
import { runLimited } from '../harness/limited.ts'
import { findS3Server, S3Server } from '../harness/s3-server.ts'
import { filesOf, flaws, Fleet } from '../workers/fleet.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const FUNCTIONS = ['compact', 'restore']
/** Packaging takes ten seconds on a busy machine. One that takes much longer hangs. */
const PACKAGE_LIMIT_MS = 90_000
const INVOKE_LIMIT_MS = 60_000
const WITHOUT_NETWORK = process.getuid?.() === 0 ? ['unshare', '-n'] : ['unshare', '-rn']
const BUILT_IN = new Set(builtinModules)
const there = findS3Server('versitygw') !== undefined
if (!there && process.env.CI === 'true') throw new Error('versitygw is not installed')

/** Calls a handler as Lambda does, and prints its result as the last line. */
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
    await packageInto('package')
    for (const name of FUNCTIONS) {
      const archive = join(dir, 'package', `${name}.zip`)
      await runLimited(PACKAGE_LIMIT_MS, 'python3', ['-m', 'zipfile', '-e', archive, join(dir, name)], here())
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

  /** An environment without this process's variables, and with a home without credentials or settings. */
  function here(environment: Record<string, string> = {}) {
    return { cwd: dir, env: { PATH: process.env.PATH, HOME: dir, ...environment } }
  }

  /** Packages as users do, in the project's directory. `within` is a program that runs the command. */
  async function packageInto(name: string, within: readonly string[] = []): Promise<void> {
    const [file = '', ...args] = [...within, 'npx', 'osls', 'package', '--package', join(dir, name)]
    await runLimited(PACKAGE_LIMIT_MS, file, args, { ...here(), cwd: ROOT })
  }

  async function invoke(name: string, event: unknown, environment: Record<string, string> = {}, remainingMs = 60_000) {
    const handler = join(dir, name, 'workers', 'lambda', `${name}.mjs`)
    const args = [join(dir, 'invoke.mjs'), handler, JSON.stringify(event), String(remainingMs)]
    const settings = here({ ...server.environment, LTXD_BACKUP_URL: url, ...environment })
    const stdout = await runLimited(INVOKE_LIMIT_MS, process.execPath, args, settings)
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, unknown>
  }

  test('are packaged to the same bytes without a network', async () => {
    await packageInto('offline', WITHOUT_NETWORK)
    for (const name of FUNCTIONS) {
      const [online, offline] = await Promise.all(
        ['package', 'offline'].map((place) => readFile(join(dir, place, `${name}.zip`))),
      )
      expect(offline!.equals(online!)).toBe(true)
    }
  })

  test('contain one module each, which needs only Node.js, and no native code', async () => {
    for (const name of FUNCTIONS) {
      const files = (await readdir(join(dir, name), { recursive: true, withFileTypes: true })).filter((file) =>
        file.isFile(),
      )
      expect(files.map((file) => file.name)).toEqual([`${name}.mjs`])
      const text = await readFile(join(dir, name, 'workers', 'lambda', `${name}.mjs`), 'utf8')
      expect(text).not.toMatch(/better-sqlite3|\.node['"]/)
      const imported = [
        ...text.matchAll(/^import\b[^'"]*['"]([^'"]+)['"]/gm),
        ...text.matchAll(/\bimport\("([^"]+)"\)/g),
      ]
      expect(imported.length).toBeGreaterThan(0)
      expect(imported.map(([, from = '']) => from.replace(/^node:/, '')).filter((id) => !BUILT_IN.has(id))).toEqual([])
    }
  })

  test('compact writes the same files for every database as the library does here', async () => {
    // The same history in a second prefix, compacted by the function.
    const localUrl = `file://${dir}/local`
    const local = openObjectStore(localUrl)
    const twin = new Fleet(local, 3, SEED)
    for (let round = 0; round < 3; round++) await twin.round(() => 3)
    const { databases, postponed } = await invoke('compact', { source: 'aws.events' })
    expect(postponed).toEqual([])
    for (const { database } of fleet.databases) {
      const here = await compactUpTo(local, database, 3)
      const expected = here.map(({ level, min, max }) => ({ level, min: formatTXID(min), max: formatTXID(max) }))
      expect((databases as Record<string, unknown>)[database]).toEqual({ written: expected, skipped: [] })
      for (const level of [1, 2, 3]) expect(flaws(await filesOf(store, database, level))).toEqual([])
    }
    await local.close()
    const nothing = { written: [], skipped: [] }
    expect(Object.values((await invoke('compact', {})).databases as object)).toEqual([nothing, nothing, nothing])
  })

  test('compact leaves the rest to the next call when its time runs out', async () => {
    const result = await invoke('compact', {}, {}, 1)
    expect(result).toEqual({ databases: {}, postponed: fleet.databases.map(({ database }) => database).sort() })
  })

  test('restore writes to a store of LTXD_STORES', async () => {
    const archive = await server.freshUrl('archive')
    const event = { database: fleet.databases[1]!.database, output: { key: 'out/b.db', store: 'archive' } }
    expect(await invoke('restore', event, { LTXD_STORES: `archive=${archive}` })).toMatchObject({ verified: true })
    const other = openObjectStore(archive)
    expect(await other.head('out/b.db')).toBeDefined()
    await other.close()
  })

  test('restore writes a database to an object, and a second call returns the same result', async () => {
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

  test('errors name the problem', async () => {
    const output = { key: 'out/b.db' }
    const event = { database: 'nope.db', output }
    await expect(invoke('restore', event)).rejects.toThrow(/no backup of database nope\.db/)
    await expect(invoke('restore', { ...event, backup: url })).rejects.toThrow(/is the function's own/)
    await expect(invoke('restore', { database: 'a.db', output: { path: 'x' } })).rejects.toThrow(
      /writes no files|no backup/,
    )
    const elsewhere = { database: fleet.databases[0]!.database, output: { ...output, store: 'file:///etc' } }
    await expect(invoke('restore', elsewhere)).rejects.toThrow(
      /file:\/\/\/etc, which is not configured here.*LTXD_STORES/,
    )
    await expect(invoke('compact', {}, { LTXD_BACKUP_URL: '' })).rejects.toThrow(/LTXD_BACKUP_URL/)
    await expect(invoke('compact', {}, { LTXD_LEVEL: '9' })).rejects.toThrow(
      /LTXD_LEVEL is 9, expected a level from 1 to 8/,
    )
  })
})
