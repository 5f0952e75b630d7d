import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, open, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NodeStatus } from '../../src/api/status.ts'
import { type UploadState, uploadTransactions } from '../../src/backup/ship/upload.ts'
import { PlayedDatabase, seeded } from '../../src/backup/testing.ts'
import { toTXID } from '../../src/ltx/format/types.ts'
import { DirectoryStore } from '../../src/objectstore/directory/store.ts'
import { SEED } from '../harness/effort.ts'
import { LTXD_CLI, LtxdNode } from '../harness/ltxd-node.ts'
import { detach } from '../harness/mounts.ts'
import { until } from '../harness/wait.ts'
import { ltxd, program } from './run.ts'

/** A node with foreign files, damaged files, and journal modes that cannot be captured. */

let dir: string
let mount: string
let data: string
let backup: string
let nodes: LtxdNode[]

beforeEach(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), 'ltxd-damage-')))
  mount = join(dir, 'mnt')
  data = join(dir, 'data')
  backup = `file://${dir}/backup`
  nodes = []
})

afterEach(async () => {
  for (const node of nodes) await node.destroy()
  await detach(mount)
  await rm(dir, { recursive: true, force: true })
})

async function serve(...args: string[]): Promise<LtxdNode> {
  const node = LtxdNode.start({ mount, data, logFile: join(dir, 'log'), arguments: args })
  nodes.push(node)
  await node.mounted()
  await until('the API', 60_000, () => existsSync(join(data, 'api.json')))
  return node
}

const sqlite = (sql: string, database = 'a.db') => program('sqlite3', ['-bail', join(mount, database), sql])
const status = async () => JSON.parse((await ltxd(['status', '--data', data, '--json'])).stdout) as NodeStatus
/** Waits for the line: another thread writes the data plane's messages to the log. */
const said = (what: RegExp) =>
  until(`${String(what)} in the log`, 60_000, () => what.test(readFileSync(join(dir, 'log'), 'utf8')))

async function flipByte(path: string, position: number): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, position)
    await file.write(Buffer.from([(buffer[0] as number) ^ 0xff]), 0, 1, position)
  } finally {
    await file.close()
  }
}

describe('on the mount', () => {
  test('a file that is no database is served as a plain file, with a log line', async () => {
    await serve()
    await writeFile(join(dir, 'plain.txt'), 'this is no database\n'.repeat(1000))
    expect(await program('cp', [join(dir, 'plain.txt'), join(mount, 'plain.db')])).toMatchObject({ code: 0 })
    expect(await program('cmp', [join(dir, 'plain.txt'), join(mount, 'plain.db')])).toMatchObject({ code: 0 })
    await said(/files that are no SQLite databases were written.*files=plain\.db/)
    expect((await status()).databases).toEqual([])
  })

  test('a database that is copied onto the mount is captured', async () => {
    await serve()
    const source = join(dir, 'source.db')
    await program('sqlite3', [source, 'CREATE TABLE t(x); INSERT INTO t VALUES (1), (2)'])
    await program('cp', [source, join(mount, 'a.db')])
    expect((await sqlite('INSERT INTO t VALUES (3); SELECT sum(x) FROM t')).stdout).toBe('6\n')
    const { databases } = await status()
    expect(databases.map(({ name, position }) => [name, position.slice(0, 16)])).toEqual([['a.db', '0000000000000002']])
  })

  test.each(['MEMORY', 'OFF'])(
    'journal mode %s is rejected before anything changes; the log line names file and process',
    async (mode) => {
      await serve()
      await sqlite('CREATE TABLE t(x); INSERT INTO t VALUES (1)')
      const { code } = await sqlite(`PRAGMA journal_mode=${mode}; INSERT INTO t VALUES (2)`)
      expect(code).not.toBe(0)
      expect((await sqlite('SELECT group_concat(x) FROM t; PRAGMA integrity_check')).stdout).toBe('1\nok\n')
      await said(/without a journal.*database=a\.db.*process="?sqlite3 \(\d+\)/)
    },
  )

  test('a copy of another file onto a database is discarded: it has its former content', async () => {
    await serve()
    await sqlite('CREATE TABLE t(x); INSERT INTO t VALUES (1)')
    await program('cp', ['/etc/passwd', join(mount, 'a.db')])
    await said(/a replacement of the database was discarded.*database=a\.db/)
    expect((await sqlite('SELECT x FROM t; PRAGMA integrity_check')).stdout).toBe('1\nok\n')
  })
})

describe('in the data directory', () => {
  test.skipIf(process.getuid?.() !== 0)('a read-only file system is named in the error', async () => {
    await mkdir(join(dir, 'readonly'))
    const inside = 'mount -t tmpfs -o ro none "$0" && exec "$@"'
    const cli = [process.execPath, LTXD_CLI]
    const args = ['mount', mount, '--data', join(dir, 'readonly/data')]
    const { code, stderr } = await program('unshare', [
      '-m',
      'sh',
      '-c',
      inside,
      join(dir, 'readonly'),
      ...cli,
      ...args,
    ])
    expect(stderr).toMatch(/ltxd: the data directory .* lies on a read-only file system/)
    expect(code).toBe(1)
  })

  test('a database with a damaged log is not served and not changed; the others are served', async () => {
    const node = await serve()
    await sqlite('CREATE TABLE t(x); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)')
    await sqlite('CREATE TABLE t(x)', 'b.db')
    await node.stop()
    const logDir = join(data, 'log/a.db.ltx')
    const segment = join(logDir, readdirSync(logDir).find((name) => name.endsWith('.ltxlog')) as string)
    await flipByte(segment, 200)
    const before = [readFileSync(segment), readFileSync(join(data, 'files/a.db'))]

    await serve()
    await said(/database not served: LTX log .*ltxlog is damaged at byte 0.*database=a\.db/)
    expect((await sqlite('SELECT x FROM t')).code).not.toBe(0)
    expect((await sqlite('INSERT INTO t VALUES (1); SELECT x FROM t', 'b.db')).stdout).toBe('1\n')
    const shown = await ltxd(['status', '--data', data])
    expect(shown.stdout).toMatch(/a\.db .*not served: LTX log .* is damaged/)
    expect(shown.code).toBe(1)
    expect([readFileSync(segment), readFileSync(join(data, 'files/a.db'))]).toEqual(before)
  })

  test('a database file that was changed without its log is not served, and the message says what to do', async () => {
    const node = await serve()
    await sqlite('CREATE TABLE t(x); INSERT INTO t VALUES (1)')
    await node.stop()
    await program('sqlite3', [join(data, 'files/a.db'), 'INSERT INTO t VALUES (2)'])
    await serve()
    await said(/database not served: its pages do not have the checksum of its last transaction .*ltxd restore/)
    expect((await sqlite('SELECT x FROM t')).code).not.toBe(0)
  })
})

describe('in the backup', () => {
  test('a restore, and the status of a node, name a damaged object, and leave no unfinished file', async () => {
    const node = await serve('--backup', backup)
    await sqlite('CREATE TABLE t(x); INSERT INTO t VALUES (zeroblob(20000))')
    await until('the first snapshot', 60_000, () => existsSync(join(dir, 'backup/a.db/ltx/9')))
    await node.stop()
    for (const level of readdirSync(join(dir, 'backup/a.db/ltx'))) {
      for (const name of readdirSync(join(dir, 'backup/a.db/ltx', level))) {
        if (name.endsWith('.ltx')) await flipByte(join(dir, 'backup/a.db/ltx', level, name), 130)
      }
    }
    const out = join(dir, 'out.db')
    const restored = await ltxd(['restore', backup, 'a.db', '-o', out])
    expect(restored.stderr).toMatch(/ltxd: object a\.db\/ltx\/.*\.ltx in file:.* is damaged: /)
    expect(restored.code).toBe(1)
    expect(existsSync(out)).toBe(false)

    const verified = await ltxd(['backup', 'verify', backup])
    expect(verified.code).toBe(1)

    await rm(data, { recursive: true })
    await serve('--backup', backup)
    const [database] = (await status()).databases
    expect(database?.error).toMatch(/object a\.db\/ltx\/.*\.ltx in file:.* is damaged: /)
    expect((await sqlite('CREATE TABLE t(x)')).code).not.toBe(0)
    expect(existsSync(join(data, 'files/a.db'))).toBe(false)
  })
})

test('in a backup hides nothing from its list, which names it and ends with 1', async () => {
  const store = new DirectoryStore(join(dir, 'backup'))
  for (const database of ['app.db', 'other.db']) {
    const played = new PlayedDatabase(database, seeded(SEED))
    let state: UploadState = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }
    for (let i = 1; i <= 3; i++) state = await uploadTransactions(store, database, played, state, played.commit())
  }
  const name = (n: number) => `app.db/ltx/0/000000000000000${n}-000000000000000${n}.ltx`
  await writeFile(join(dir, 'backup', name(2)), 'no LTX file, whatever it is; '.repeat(9))
  await writeFile(join(dir, 'backup', name(3)), '')
  await rm(join(dir, 'backup', `${name(3)}.meta.json`))
  const all = await ltxd(['backup', 'list', backup])
  expect(all.code).toBe(1)
  expect(all.stdout).toMatch(/^other\.db .*\n(.*\n)*app\.db: object app\.db\/ltx\/0\/0{15}3\S* in .* is damaged/m)
  const one = await ltxd(['backup', 'list', backup, 'app.db'])
  expect(one.code).toBe(1)
  expect(one.stdout.match(/^ *0 .*$/gm)).toHaveLength(3)
  expect([2, 3].map((n) => one.stdout.includes(`\n${name(n)}: `))).toEqual([true, true])
  const json = JSON.parse((await ltxd(['backup', 'list', backup, 'app.db', '--json'])).stdout) as object
  expect(json).toMatchObject({ unreadable: [{ key: name(2) }, { key: name(3) }] })
})
