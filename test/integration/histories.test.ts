import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { cp, mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { program } from '../cli/run.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { detach } from '../harness/mounts.ts'
import { until } from '../harness/wait.ts'

/** Starts of a node whose local data and backup differ. */

let dir: string
let mount: string
let data: string
let nodes: LtxdNode[]

beforeEach(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), 'ltxd-histories-')))
  mount = join(dir, 'mnt')
  data = join(dir, 'data')
  nodes = []
})

afterEach(async () => {
  for (const node of nodes) await node.destroy()
  await detach(mount)
  await rm(dir, { recursive: true, force: true })
})

async function serve(backup: string | undefined): Promise<LtxdNode> {
  const node = LtxdNode.start({ mount, data, logFile: join(dir, 'log'), ...(backup !== undefined && { backup }) })
  nodes.push(node)
  await node.mounted()
  return node
}

async function sqlite(sql: string): Promise<string> {
  const { code, stdout, stderr } = await program('sqlite3', ['-bail', join(mount, 'a.db'), sql])
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return stdout.trim()
}

const log = () => readFileSync(join(dir, 'log'), 'utf8')
const values = () => sqlite('SELECT group_concat(x) FROM t; PRAGMA integrity_check')

async function moveBackInTime(earlier: string): Promise<void> {
  await rm(data, { recursive: true })
  await cp(earlier, data, { recursive: true })
}

describe('a data directory from an earlier time', () => {
  let earlier: string
  const backup = () => `file://${dir}/backup`

  /** Transactions 1 and 2 are in `earlier` and in the backup, 3 only in the backup. */
  beforeEach(async () => {
    earlier = join(dir, 'earlier')
    let node = await serve(backup())
    await sqlite('CREATE TABLE t(x); INSERT INTO t VALUES (1)')
    await node.stop()
    await cp(data, earlier, { recursive: true })
    node = await serve(backup())
    await sqlite('INSERT INTO t VALUES (2)')
    await node.stop()
    await moveBackInTime(earlier)
  })

  test('is brought forward to the backup, and continues from there', async () => {
    const node = await serve(backup())
    expect(log()).toMatch(/the backup is ahead on the same history: restoring it.*database=a\.db/)
    expect(await values()).toBe('1,2\nok')
    await sqlite('INSERT INTO t VALUES (3)')
    await node.stop()
    const names = readdirSync(join(dir, 'backup/a.db/ltx/0')).filter((name) => name.endsWith('.ltx'))
    expect(names).toContain('0000000000000004-0000000000000004.ltx')
  })

  test('with a history of its own moves it to diverged/ with a report, and follows the backup', async () => {
    let node = await serve(undefined)
    await sqlite("INSERT INTO t VALUES ('elsewhere'); INSERT INTO t VALUES ('and on')")
    await node.stop()
    node = await serve(backup())
    expect(await values()).toBe('1,2\nok')
    expect(log()).toMatch(/the local history diverges from the backup.*database=a\.db/)
    const kept = join(data, 'diverged/a.db')
    const [aside] = readdirSync(kept)
    expect(JSON.parse(readFileSync(join(kept, aside as string, 'report.json'), 'utf8'))).toMatchObject({
      database: 'a.db',
    })
    const lost = execFileSync('sqlite3', [join(kept, aside as string, 'database'), 'SELECT group_concat(x) FROM t'])
    expect(lost.toString().trim()).toBe('1,elsewhere,and on')
    await node.stop()
  })
})

const litestream = findTool('litestream')
test.skipIf(litestream === undefined)(
  'a backup directory that Litestream wrote boots a node, which continues it',
  async () => {
    const source = join(dir, 'source.db')
    execFileSync('sqlite3', [source, 'PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES (1)'])
    const { AWS_CA_BUNDLE: _, ...env } = process.env
    const replica = spawn(litestream as string, ['replicate', source, `file://${dir}/backup/a.db`], {
      env,
      stdio: 'ignore',
    })
    const level0 = join(dir, 'backup/a.db/ltx/0')
    try {
      await until('the first file of Litestream', 60_000, () => existsSync(level0) && readdirSync(level0).length > 0)
      execFileSync('sqlite3', [source, 'INSERT INTO t VALUES (2)'])
      const files = readdirSync(level0).length
      await until('the next file of Litestream', 60_000, () => readdirSync(level0).length > files)
    } finally {
      replica.kill('SIGTERM')
      await new Promise((resolve) => replica.once('exit', resolve))
    }
    let node = await serve(`file://${dir}/backup`)
    expect(await values()).toBe('1,2\nok')
    await sqlite('INSERT INTO t VALUES (3)')
    await node.stop()
    await rm(data, { recursive: true })
    node = await serve(`file://${dir}/backup`)
    expect(await values()).toBe('1,2,3\nok')
    await node.stop()
    const restored = join(dir, 'restored.db')
    execFileSync(litestream as string, ['restore', '-o', restored, `file://${dir}/backup/a.db`], { env, stdio: 'pipe' })
    expect(execFileSync('sqlite3', [restored, 'SELECT group_concat(x) FROM t']).toString().trim()).toBe('1,2,3')
  },
)
