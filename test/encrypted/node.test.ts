import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import type { NodeStatus } from '../../src/api/status.ts'
import { ltxd, program } from '../cli/run.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { until } from '../harness/wait.ts'
import { type Engine, Session } from './session.ts'

const ENGINES = ['sqlcipher', 'sqlcipher-readable-header', 'chacha20', 'aes256cbc'] as const
const MANY =
  'WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 2000) INSERT INTO t SELECT i, hex(randomblob(100)) FROM c'

let base: string
let node: LtxdNode
const sessions: Session[] = []

const start = async (...args: string[]) => {
  const options = { mount: `${base}/m`, data: `${base}/data`, backup: `file://${base}/backup`, logFile: `${base}/log` }
  node = LtxdNode.start({ ...options, arguments: args })
  await node.mounted()
}
const open = (engine: Engine, file = `${base}/m/${engine}.db`, key?: string) => {
  const session = new Session(engine, file, key)
  sessions.push(session)
  return session
}
const position = async (name: string) => (await program('cat', [`${base}/m/${name}-pos`])).stdout
const log = () => fs.readFileSync(`${base}/log`, 'utf8')
const status = async () => (await ltxd(['status', '--data', `${base}/data`])).stdout
const restore = (name: string, to: string, ...args: string[]) =>
  ltxd(['restore', `file://${base}/backup`, name, '-o', `${base}/${to}`, ...args])

beforeEach(async () => {
  base = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'ltxd-encrypted-'))
  await start()
})

afterEach(async () => {
  for (const session of sessions.splice(0)) session.kill()
  await node.destroy()
  fs.rmSync(base, { recursive: true, force: true })
})

describe.skipIf(findTool('python3-encrypted') === undefined)('an encrypted database', () => {
  test.each(ENGINES)('%s: what is written in WAL mode is in the backup, byte by byte', async (engine) => {
    const name = `${engine}.db`
    const writer = open(engine)
    await writer.run('PRAGMA journal_mode = WAL', 'CREATE TABLE t (a INTEGER PRIMARY KEY, b)')
    // A transaction larger than the cache is written before its commit.
    await writer.run('PRAGMA cache_size = 5', MANY, 'BEGIN', 'DELETE FROM t WHERE a < 1000', 'ROLLBACK')
    expect((await writer.run('PRAGMA wal_checkpoint(TRUNCATE)'))[0]).toEqual([0, 0, 0])
    await writer.run("UPDATE t SET b = 'x' WHERE a <= 100", 'PRAGMA wal_checkpoint', 'DELETE FROM t WHERE a % 2 = 0')
    const other = open(engine)
    expect(await other.value("SELECT count(*) FROM t WHERE b = 'x'")).toBe(50)
    await other.close()
    await writer.run('VACUUM', 'PRAGMA wal_checkpoint', "INSERT INTO t VALUES (5000, 'last')")
    expect(await status()).toMatch(new RegExp(`${name} .*wal, encrypted`))
    await writer.close()
    expect(await node.stop()).toMatchObject({ code: 0 })
    expect(await restore(name, 'restored', '--check')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/matches the backup.*content is encrypted/) as string,
    })
    expect(fs.readFileSync(`${base}/restored`).equals(fs.readFileSync(`${base}/data/files/${name}`))).toBe(true)
    const restored = open(engine, `${base}/restored`)
    expect(await restored.value('PRAGMA integrity_check')).toBe('ok')
    expect(await restored.value('SELECT count(*) FROM t')).toBe(1001)
    expect(log()).not.toContain('error')
  })

  test.each(['sqlcipher', 'chacha20'] as const)(
    '%s: nothing acknowledged is lost by kill -9, or when the node hydrates',
    async (engine) => {
      const name = `${engine}.db`
      const writer = open(engine)
      await writer.run('PRAGMA journal_mode = WAL', 'CREATE TABLE t (a INTEGER PRIMARY KEY, b)', MANY)
      await writer.run('PRAGMA wal_checkpoint', "UPDATE t SET b = 'x' WHERE a < 50", 'PRAGMA wal_checkpoint')
      await writer.run("INSERT INTO t VALUES (5000, 'last')", 'BEGIN', 'DELETE FROM t')
      const before = await position(name)
      await node.killTree()
      writer.kill()
      await start()
      const reader = open(engine)
      expect(await reader.value('SELECT count(*) FROM t')).toBe(2001)
      expect(await reader.value('PRAGMA integrity_check')).toBe('ok')
      expect(await position(name)).toBe(before)
      await reader.run("INSERT INTO t VALUES (5001, 'after')")
      await reader.close()
      expect(await node.stop()).toMatchObject({ code: 0 })
      fs.rmSync(`${base}/data`, { recursive: true })
      for (let starts = 0; starts < 2; starts++) {
        await start()
        const hydrated = open(engine)
        expect(await hydrated.value('SELECT count(*) FROM t')).toBe(2002 + starts)
        await hydrated.run(`INSERT INTO t VALUES (${6000 + starts}, 'hydrated')`)
        hydrated.kill()
        await (starts === 0 ? node.killTree() : node.stop())
      }
      expect(log()).not.toContain('not served')
    },
  )

  test('a wrong key, another journal mode and writes without a journal change nothing, each with a line', async () => {
    const writer = open('sqlcipher')
    await writer.run('PRAGMA journal_mode = WAL', 'CREATE TABLE t (a, b)', "INSERT INTO t VALUES (1, 'one')")
    const before = await position('sqlcipher.db')
    const stranger = open('sqlcipher', undefined, 'wrong')
    expect(await stranger.errorOf("INSERT INTO t VALUES (2, 'two')")).toMatch(/not a database/)
    await stranger.close()
    await writer.errorOf('PRAGMA journal_mode = DELETE')
    await writer.errorOf('PRAGMA journal_mode = MEMORY')
    await writer.close()
    expect(log()).toMatch(/encrypted database can be replicated in WAL mode only.*database=sqlcipher\.db/)
    const mode = `dd if=/dev/urandom of=${base}/m/sqlcipher.db bs=4096 count=1 conv=notrunc`
    expect((await program('sh', ['-c', mode])).code).not.toBe(0)
    const again = open('sqlcipher')
    expect(await again.run('PRAGMA journal_mode', 'SELECT * FROM t')).toEqual([[1, 'one']])
    expect(await position('sqlcipher.db')).toBe(before)
    await again.run("INSERT INTO t VALUES (3, 'three')")
    expect(await position('sqlcipher.db')).not.toBe(before)
  })

  test('in a rollback mode it is counted, and is replicated from the moment it is in WAL mode', async () => {
    const writer = open('sqlcipher')
    await writer.run('CREATE TABLE t (a, b)', "INSERT INTO t VALUES (1, 'one')")
    await until('the count', 60_000, async () => (await status()).includes('1 database is not replicated'))
    await writer.run('PRAGMA journal_mode = WAL', "INSERT INTO t VALUES (2, 'two')")
    await until('the backup', 60_000, async () => /sqlcipher\.db .*up to date/.test(await status()))
    expect(await status()).not.toContain('not replicated')
    // A copy has no history until it is written, and a renamed database begins another.
    await writer.close()
    await program('sh', ['-c', `cd ${base}/m && cp sqlcipher.db copy.db && mv sqlcipher.db renamed.db`])
    const [copy, renamed] = [open('sqlcipher', `${base}/m/copy.db`), open('sqlcipher', `${base}/m/renamed.db`)]
    expect(await position('renamed.db')).toMatch(/^0000000000000001/)
    for (const each of [copy, renamed]) await each.run("INSERT INTO t VALUES (3, 'three')")
    await until(
      'both',
      60_000,
      async () => (await status()).match(/ed\.db .*up to date|py\.db .*up to date/g)?.length === 2,
    )
    for (const name of ['copy.db', 'renamed.db']) {
      expect(await restore(name, name)).toMatchObject({ code: 0 })
      expect(await open('sqlcipher', `${base}/${name}`).value('SELECT count(*) FROM t')).toBe(3)
    }
  })

  test('in every rollback mode, copied, and after a restart it is counted, by every cipher', async () => {
    const modes = ['DELETE', 'MEMORY'] as const
    const engines = ENGINES.filter((engine) => engine !== 'sqlcipher-readable-header')
    const names: string[] = engines.flatMap((engine) => modes.map((mode) => `${engine}-${mode}.db`))
    for (const engine of engines) {
      for (const mode of modes) {
        const writer = open(engine, `${base}/m/${engine}-${mode}.db`)
        await writer.run(`PRAGMA journal_mode = ${mode}`, 'CREATE TABLE t (a INTEGER PRIMARY KEY, b)', MANY)
        await writer.close()
      }
      await program('cp', [`${base}/m/${engine}-DELETE.db`, `${base}/m/${engine}-copy.db`])
    }
    names.push(...engines.map((engine) => `${engine}-copy.db`))
    for (const restart of [false, true]) {
      if (restart) {
        expect(await node.stop()).toMatchObject({ code: 0 })
        await start()
      }
      await until('all of them', 60_000, async () => {
        const { stdout } = await ltxd(['status', '--json', '--data', `${base}/data`])
        const { unreplicated } = JSON.parse(stdout) as NodeStatus
        return names.sort().join() === unreplicated?.names.join()
      })
    }
  })
})
