import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdtemp, realpath, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { NodeStatus } from '../../src/api/status.ts'
import { NEWEST } from '../../src/backup/history/plan.ts'
import { restoreDatabase } from '../../src/backup/restore/restore.ts'
import { LTXError } from '../../src/ltx/format/errors.ts'
import { openObjectStore } from '../../src/objectstore/stores/open.ts'
import { planDirectory, recoverDirectory } from '../../src/recovery/directory.ts'
import { LtxdError } from '../../src/util/errors.ts'
import { ltxd, program } from '../cli/run.ts'
import { effort, SEED } from '../harness/effort.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { Random } from '../harness/random.ts'
import { until } from '../harness/wait.ts'

/** One bad thing never stops a node: a flipped bit, a foreign file, a link or a directory in a database's place. */

const FLIPS = effort(20, 100, 'FLIPS')
const ROWS = 25
/** `wal.db` in WAL mode, `plain.db` in rollback mode. */
const NAMES = ['plain.db', 'wal.db']

let dir: string
/** What a node left that was killed, and what one left that stopped. */
let lefts: Record<'killed' | 'stopped', string>
const nodes: LtxdNode[] = []

beforeAll(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), 'ltxd-flips-')))
  lefts = { killed: join(dir, 'killed'), stopped: join(dir, 'stopped') }
  const node = await serve(join(dir, 'data'))
  for (const name of NAMES) {
    const mode = name === 'wal.db' ? 'wal' : 'delete'
    const rows = Array.from({ length: ROWS }, (_, i) => `INSERT INTO t VALUES (${i}, hex(randomblob(100)));`)
    const path = join(node.options.mount, name)
    const setUp = `PRAGMA journal_mode = ${mode}; CREATE TABLE t (i, x); ${rows.join(' ')}`
    expect(await program('timeout', ['60', 'sqlite3', '-bail', path, setUp])).toMatchObject({ code: 0 })
  }
  await until('the backup', 60_000, async () =>
    (await status(node)).databases.every(({ backup }) => backup !== undefined && backup.lagMs === 0),
  )
  await node.kill()
  cpSync(node.options.data, lefts.killed, { recursive: true })
  const again = await serve(join(dir, 'data'))
  await again.stop()
  cpSync(node.options.data, lefts.stopped, { recursive: true })
})

afterAll(async () => {
  for (const node of nodes) await node.destroy()
  await rm(dir, { recursive: true, force: true })
})

async function serve(data: string): Promise<LtxdNode> {
  const backup = `file://${dir}/backup`
  const node = LtxdNode.start({ mount: join(dir, 'mnt'), data, logFile: join(dir, 'log'), backup })
  nodes.push(node)
  await node.mounted()
  await until('the API', 60_000, () => existsSync(join(data, 'api.json')))
  return node
}

const status = async (node: LtxdNode) =>
  JSON.parse((await ltxd(['status', '--data', node.options.data, '--json'])).stdout) as NodeStatus

/** How many rows a whole database has. */
function rowsOf(path: string): number {
  const db = new Database(path, { readonly: true })
  try {
    expect(db.pragma('integrity_check', { simple: true })).toBe('ok')
    return db.prepare('SELECT count(*) FROM t').pluck().get() as number
  } finally {
    db.close()
  }
}

/** Every file below a directory that has content. */
function filesBelow(path: string): string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => statSync(file).size > 0)
    .sort()
}

function pick<T>(random: Random, all: readonly T[]): T {
  return all[random.integer(0, all.length - 1)] as T
}

function flip(random: Random, file: string): string {
  const bytes = readFileSync(file)
  const bit = random.integer(0, bytes.length * 8 - 1)
  bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
  writeFileSync(file, bytes)
  return `bit ${bit} of ${file}`
}

test.each(['killed', 'stopped'] as const)(
  `a flipped bit in what a %s node left: a database has its content or is not served, and no other is hurt (LTXD_SEED=${SEED})`,
  async (kind) => {
    const random = new Random(SEED)
    const data = join(dir, 'flipped')
    for (let i = 0; i < FLIPS; i++) {
      await rm(data, { recursive: true, force: true })
      cpSync(lefts[kind], data, { recursive: true })
      // Half of them in the small files, which have few bits.
      const all = filesBelow(data)
      const small = all.filter((file) => /\.json$|pages\.bin$|doubted$/.test(file))
      const file = pick(random, random.next() < 0.5 ? small : all)
      const what = flip(random, file)
      const lines: string[] = []
      let recovered
      try {
        planDirectory(data, [])
        recovered = recoverDirectory(data, [], 1 << 20, (level, message) => void lines.push(`${level} ${message}`))
      } catch (error) {
        expect(error, what).toBeInstanceOf(LtxdError)
        expect(file, String(error)).toBe(`${data}/node.json`)
        expect((error as Error).message).toMatch(/^\S*\/node\.json [^\n]+$/)
        continue
      }
      for (const name of NAMES) {
        const { rejection } = recovered.find((database) => database.name === name) ?? { rejection: 'it is gone' }
        if (rejection === undefined) {
          const rows = rowsOf(`${data}/files/${name}`)
          const isCut = lines.some((line) => line.includes('unfinished transaction, which was cut'))
          if (!isCut || rows !== ROWS - 1) expect(rows, `${name} after ${what}`).toBe(ROWS)
        } else {
          expect(file.includes(name), `${name}: ${rejection}, after ${what}`).toBe(true)
        }
      }
    }
  },
)

test(`a flipped bit in a backup: the restore is right, or names the object (LTXD_SEED=${SEED})`, async () => {
  const random = new Random(SEED)
  const backup = join(dir, 'flipped-backup')
  const output = join(dir, 'restored.db')
  for (let i = 0; i < FLIPS; i++) {
    await rm(backup, { recursive: true, force: true })
    cpSync(join(dir, 'backup'), backup, { recursive: true })
    const what = flip(random, pick(random, filesBelow(backup)))
    for (const name of NAMES) {
      for (const suffix of ['', '-wal', '-shm']) await rm(output + suffix, { force: true })
      try {
        await restoreDatabase(openObjectStore(`file://${backup}`), name, NEWEST, output, {})
      } catch (error) {
        expect(error instanceof LtxdError || error instanceof LTXError, `${String(error)} after ${what}`).toBe(true)
        expect(what, String(error)).toContain(name)
        expect(existsSync(output)).toBe(false)
        continue
      }
      expect(rowsOf(output), `${name} after ${what}`).toBe(ROWS)
    }
  }
})

test('a link, a pipe, a directory, a damaged state file and foreign files stop no other database', async () => {
  const data = join(dir, 'mixed')
  cpSync(lefts.killed, data, { recursive: true })
  const copy = (name: string) => {
    cpSync(`${data}/log/wal.db.ltx`, `${data}/log/${name}.ltx`, { recursive: true })
    for (const suffix of ['', '-wal']) {
      const from = `${data}/files/wal.db${suffix}`
      if (existsSync(from)) cpSync(from, `${data}/files/${name}${suffix}`)
    }
  }
  for (const name of ['link.db', 'directory.db', 'base.db', 'synced.db', 'segment.db', 'unreadable.db']) copy(name)
  await rename(`${data}/files/link.db`, `${dir}/elsewhere.db`)
  symlinkSync(`${dir}/elsewhere.db`, `${data}/files/link.db`)
  await rm(`${data}/files/directory.db`)
  mkdirSync(`${data}/files/directory.db`)
  writeFileSync(`${data}/log/base.db.ltx/base.json`, '{"format":1,"position":"0000000000000000/8000000000000009"')
  writeFileSync(`${data}/log/synced.db.ltx/synced.json`, 'x')
  const [segment] = readdirSync(`${data}/log/segment.db.ltx`).filter((name) => name.endsWith('.ltxlog'))
  await rm(`${data}/log/segment.db.ltx/${segment}`)
  mkdirSync(`${data}/log/segment.db.ltx/${segment}`)
  await rm(`${data}/log/unreadable.db.ltx/base.json`)
  mkdirSync(`${data}/log/unreadable.db.ltx/base.json`)
  for (const name of ['pipe.db', 'log-pipe.db', 'log-file.db', 'log-link.db']) copy(name)
  for (const path of [`${data}/files/pipe.db`, `${data}/log/log-pipe.db.ltx`]) {
    await rm(path, { recursive: true })
    await program('mkfifo', [path])
  }
  for (const name of ['log-file.db', 'log-link.db']) await rm(`${data}/log/${name}.ltx`, { recursive: true })
  for (const name of ['log-file.db.ltx', 'folder', 'new.db.ltx']) writeFileSync(`${data}/log/${name}`, 'foreign')
  symlinkSync('/nowhere', `${data}/log/log-link.db.ltx`)
  mkdirSync(`${data}/files/folder`)
  cpSync(`${data}/files/plain.db`, `${data}/files/folder/below.db`)
  // Foreign: in the log, where its leftovers are removed, and beside the databases.
  symlinkSync('/nowhere', `${data}/log/dangling`)
  writeFileSync(`${data}/log/note.txt`, 'foreign')
  mkdirSync(`${data}/log/gone.db.ltx.old/inside`, { recursive: true })
  symlinkSync('/nowhere', `${data}/files/dangling`)

  const node = await serve(data)
  const { databases } = await status(node)
  const served = new Map(databases.map(({ name, error }) => [name, error]))
  for (const name of [...NAMES, 'synced.db']) {
    expect(served.has(name) && served.get(name), name).toBe(undefined)
    const rows = await program('timeout', ['60', 'sqlite3', join(node.options.mount, name), 'SELECT count(*) FROM t'])
    expect(rows.stdout, name).toBe(`${ROWS}\n`)
  }
  for (const [name, file] of [
    ['link.db', `${data}/files/link.db`],
    ['directory.db', `${data}/files/directory.db`],
    ['base.db', `${data}/log/base.db.ltx/base.json`],
    ['segment.db', `${data}/log/segment.db.ltx/${segment}`],
    ['unreadable.db', `${data}/log/unreadable.db.ltx/base.json`],
    ['pipe.db', `${data}/files/pipe.db is a named pipe`],
    ['log-pipe.db', `${data}/log/log-pipe.db.ltx is no directory`],
    ['log-file.db', `${data}/log/log-file.db.ltx is no directory`],
    ['log-link.db', `${data}/log/log-link.db.ltx is a symbolic link`],
    ['folder/below.db', `${data}/log/folder is no directory`],
  ] as const) {
    expect(served.get(name), name).toContain(file)
    expect(served.get(name), name).toMatch(/ltxd restore/)
  }
  // One whose log cannot be made is not created.
  const made = await program('timeout', ['60', 'sqlite3', join(node.options.mount, 'new.db'), 'CREATE TABLE t (x)'])
  expect(made.code).not.toBe(0)
  expect((await status(node)).databases.length).toBeGreaterThan(NAMES.length)
  expect(await node.stop()).toMatchObject({ code: 0 })
  const recovered = await ltxd(['recover', '--data', data])
  expect(recovered).toMatchObject({ code: 1 })
  expect(recovered.stdout).toMatch(/^wal\.db: at /m)
  expect(recovered.stderr).not.toMatch(/unexpected/)
})

test('a database that the backup cannot give back stops no other', async () => {
  const store = join(dir, 'backup')
  cpSync(store, `${store}-whole`, { recursive: true })
  for (const object of filesBelow(`${store}/wal.db`).filter((file) => file.endsWith('.ltx'))) {
    const bytes = readFileSync(object)
    writeFileSync(object, bytes.fill(0, bytes.length >> 1))
  }
  const node = await serve(join(dir, 'empty'))
  const { databases } = await status(node)
  expect(databases.find(({ name }) => name === 'plain.db')?.error).toBeUndefined()
  expect(databases.find(({ name }) => name === 'wal.db')?.error).toContain('object wal.db/ltx/')
  const rows = (name: string) => {
    return program('timeout', ['60', 'sqlite3', join(node.options.mount, name), 'SELECT count(*) FROM t'])
  }
  expect((await rows('plain.db')).stdout).toBe(`${ROWS}\n`)
  expect((await rows('wal.db')).code).not.toBe(0)
  await node.stop()
  await rm(store, { recursive: true })
  await rename(`${store}-whole`, store)
})
