import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, open, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { NodeStatus } from '../../src/api/status.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { detach } from '../harness/mounts.ts'
import { until } from '../harness/wait.ts'
import { ltxd, program } from './run.ts'

/** A start after a crash with a database that is too large to be read whole. */

const ROWS = 24
const LARGE = `CREATE TABLE t(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS}) INSERT INTO t SELECT randomblob(1000000) FROM n`
const PAGE = 4096
const DAMAGED = 4000

let dir: string
let mount: string
let data: string
let nodes: LtxdNode[]

beforeEach(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), 'ltxd-large-')))
  mount = join(dir, 'mnt')
  data = join(dir, 'data')
  nodes = []
})

afterEach(async () => {
  for (const node of nodes) await node.destroy()
  await detach(mount)
  await rm(dir, { recursive: true, force: true })
})

async function serve(): Promise<LtxdNode> {
  const node = LtxdNode.start({ mount, data, logFile: join(dir, 'log'), arguments: ['--log-level', 'debug'] })
  nodes.push(node)
  await node.mounted()
  await until('the API', 60_000, () => existsSync(join(data, 'api.json')))
  return node
}

const sqlite = (sql: string) => program('sqlite3', ['-bail', join(mount, 'a.db'), sql])
const log = () => readFileSync(join(dir, 'log'), 'utf8')
const beside = (name: string) => join(data, 'log/a.db.ltx', name)
const status = async () => JSON.parse((await ltxd(['status', '--data', data, '--json'])).stdout) as NodeStatus

/** Starts a node with a large database, and kills it once a replay has nothing to do. */
async function killed(): Promise<void> {
  const node = await serve()
  expect(await sqlite(LARGE)).toMatchObject({ code: 0 })
  const [database] = (await status()).databases
  const position = database?.position ?? ''
  await until('the file to be durable', 60_000, () => {
    return existsSync(beside('synced.json')) && readFileSync(beside('synced.json'), 'utf8').includes(position)
  })
  await node.kill()
}

async function damage(): Promise<void> {
  const file = await open(join(data, 'files/a.db'), 'r+')
  await file.write(Buffer.from('damage'), 0, 6, (DAMAGED - 1) * PAGE + 1000)
  await file.close()
}

test('after a crash it is served at once and checked in the background, after which it counts as stopped cleanly', async () => {
  await killed()
  const node = await serve()
  expect(await sqlite('SELECT count(*), sum(length(x)) FROM t')).toMatchObject({ stdout: `${ROWS}|${ROWS}000000\n` })
  await until('the check', 60_000, () => log().includes('all pages match the log'))
  expect(existsSync(beside('clean.json'))).toBe(false)
  await node.stop()
  expect(existsSync(beside('clean.json'))).toBe(true)
  await serve()
  expect(existsSync(beside('clean.json'))).toBe(true)
  expect(await sqlite('PRAGMA integrity_check; INSERT INTO t VALUES (1)')).toMatchObject({ stdout: 'ok\n', code: 0 })
  expect(existsSync(beside('clean.json'))).toBe(false)
  expect((await status()).databases[0]?.error).toBeUndefined()
})

test('a page that was damaged while the node was down is found in the background without a read', async () => {
  await killed()
  await damage()
  await serve()
  const found = `page ${DAMAGED} of its file does not have the checksum`
  await until('the damage', 60_000, () => log().includes(found))
  expect((await status()).databases[0]?.error).toContain(found)
  expect((await sqlite('SELECT count(*) FROM t')).code).not.toBe(0)
  expect((await sqlite('INSERT INTO t VALUES (1)')).code).not.toBe(0)
  expect((await ltxd(['status', '--data', data])).stdout).toMatch(/not served: page 4000/)
})

test('a page that was damaged while the node was down is never returned to a reader', async () => {
  await killed()
  await damage()
  await serve()
  const read = await sqlite("SELECT count(*) FROM t WHERE x > x'00'")
  expect(read).toMatchObject({ stdout: '' })
  // SQLite's message for EIO depends on its version.
  expect(read.stderr).toMatch(/disk I\/O error|disk image is malformed|unable to open/)
  await until('the complaint', 60_000, () => log().includes('database not served: page 4000'))
})
