import { execFile } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { NodeStatus } from '../../src/api/status.ts'
import { frameSize, WAL_HEADER_SIZE } from '../../src/sqlite/wal.ts'
import { form } from '../harness/effort.ts'
import { LTXD_CLI, LtxdNode } from '../harness/ltxd-node.ts'
import { processTree } from '../harness/processes.ts'
import { freePort } from '../harness/s3-server.ts'
import { until } from '../harness/wait.ts'

/**
 * A database of more pages than a Set or a Map of V8 holds: 2^24, which is 8.6 GB in pages of 512 bytes. It takes 45 GB
 * of disk (TMPDIR) and three quarters of an hour, so only the long form runs it.
 */

const HOUR_MS = 3_600_000
const FEW_PAGES = 2 ** 24
/** Of any process of a node. */
const MAX_MEMORY_BYTES = 2.5 * 2 ** 30
const BLOB_BYTES = 2 ** 28

let dir: string
let nodes: LtxdNode[]

beforeEach(async () => {
  dir = await realpath(await mkdtemp(join(tmpdir(), 'ltxd-giant-')))
  nodes = []
})

afterEach(async () => {
  for (const node of nodes) await node.destroy()
  await rm(dir, { recursive: true, force: true })
})

async function run(file: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(file, args, { timeout: HOUR_MS, killSignal: 'SIGKILL' })
  return stdout
}

const ltxd = (...args: string[]) => run(process.execPath, LTXD_CLI, ...args)
const sqlite = (path: string, sql: string, command = '.timeout 60000') =>
  run('sqlite3', '-bail', '-cmd', command, path, sql)
const same = (one: string, other: string) => run('cmp', one, other)

async function start(name: string, yaml: string, port: number): Promise<LtxdNode> {
  const at = (suffix: string) => join(dir, `${name}${suffix}`)
  await writeFile(at('.yml'), yaml)
  const node = LtxdNode.start({
    mount: at('-mnt'),
    data: at('-data'),
    logFile: at('.log'),
    http: `127.0.0.1:${port}`,
    arguments: ['--config', at('.yml')],
  })
  nodes.push(node)
  await node.mounted(HOUR_MS)
  await until('the API', HOUR_MS, () => existsSync(join(at('-data'), 'api.json')))
  return node
}

async function statusOf(name: string, database = 'a.db') {
  const status = JSON.parse(await ltxd('status', '--data', join(dir, `${name}-data`), '--json')) as NodeStatus
  return status.databases.find((each) => each.name === database)
}

async function position(name: string): Promise<string> {
  const found = await statusOf(name)
  return `${found?.position ?? 'none'} ${found?.replication?.state ?? 'following'} ${found?.error ?? ''}`
}

/** The most memory that any process of the node has had. */
function expectMemory(node: LtxdNode): void {
  for (const pid of processTree(node.pid)) {
    const [, kilobytes = '0'] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
    expect(Number(kilobytes) * 1024, `memory of process ${pid}`).toBeLessThan(MAX_MEMORY_BYTES)
  }
}

test.skipIf(form(true, false))(
  'a database of more than 2^24 pages is imported, written, replicated, recovered and restored',
  async () => {
    const native = join(dir, 'native.db')
    const insert = (rows: number, bytes: number) =>
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows}) ` +
      `INSERT INTO t SELECT zeroblob(${bytes}) FROM n;`
    await sqlite(
      native,
      `PRAGMA page_size=512; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; CREATE TABLE t(x); ${insert(31, BLOB_BYTES)}` +
        `PRAGMA journal_mode=WAL;`,
    )
    const backup = `file://${dir}/backup`
    const [port, otherPort] = [await freePort(), await freePort()]
    const yaml = `backup: { url: "${backup}" }\nlease: { type: static }\n`
    let primary = await start('p', yaml, port)
    const mounted = join(dir, 'p-mnt/a.db')
    const stored = join(dir, 'p-data/files/a.db')

    // Smaller by a few pages at first: the transactions cross the limit.
    await run('cp', '--sparse=never', native, mounted)
    await rm(native)
    for (let i = 0; i < 4; i++) await sqlite(mounted, `PRAGMA cache_size=-400000; ${insert(1, BLOB_BYTES / 4)}`)
    expect(Number(await sqlite(mounted, 'PRAGMA page_count'))).toBeGreaterThan(FEW_PAGES)

    const replica = await start(
      'r',
      `lease: { type: static, candidate: false, advertise-url: "http://127.0.0.1:${port}" }\n`,
      otherPort,
    )
    await until('the snapshot', HOUR_MS, async () => (await position('r')) === (await position('p')))
    await sqlite(mounted, insert(1, 1_000_000))
    await until('the next transaction', HOUR_MS, async () => (await position('r')) === (await position('p')))
    expectMemory(primary)
    expectMemory(replica)
    await replica.stop(HOUR_MS)

    const before = await position('p')
    await primary.killTree()
    primary = await start('p', yaml, port)
    expect(await position('p')).toBe(before)
    expect(await sqlite(mounted, 'SELECT count(*) FROM t')).toBe('36\n')
    await same(join(dir, 'r-data/files/a.db'), stored)
    await rm(join(dir, 'r-data'), { recursive: true })

    const restored = join(dir, 'restored.db')
    await ltxd('restore', backup, 'a.db', '-o', restored)
    await same(restored, stored)

    // In one transaction.
    await run('cp', '--sparse=never', restored, join(dir, 'p-mnt/b.db'))
    expect(await sqlite(join(dir, 'p-mnt/b.db'), 'SELECT count(*) FROM t')).toBe('36\n')
    expectMemory(primary)
    // The upload takes longer than a stop waits for.
    await until('the upload', HOUR_MS, async () => {
      const { position = 'none', backup: shipped } = (await statusOf('p', 'b.db')) ?? {}
      return shipped?.txid === position.split('/')[0]
    })
    expect(await primary.stop(HOUR_MS), primary.logTail()).toMatchObject({ code: 0 })
    // Not beside the node, whose retention deletes objects meanwhile.
    await ltxd('backup', 'verify', backup)
    await same(restored, join(dir, 'p-data/files/b.db'))
    await rm(join(dir, 'p-data/files/b.db'))
  },
  3 * HOUR_MS,
)

test.skipIf(form(true, false))(
  'a snapshot is applied over a WAL of more than 2^24 pages',
  async () => {
    const [giant, small, snapshot] = [join(dir, 'giant.db'), join(dir, 'small.db'), join(dir, 'small.ltx')]
    const blobs = `INSERT INTO t SELECT zeroblob(${BLOB_BYTES});`.repeat(33)
    await sqlite(
      giant,
      `PRAGMA page_size=512; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF;` +
        `PRAGMA cache_size=-600000; CREATE TABLE t(x); ${blobs}`,
      '.dbconfig no_ckpt_on_close on',
    )
    const frames = (statSync(`${giant}-wal`).size - WAL_HEADER_SIZE) / frameSize(512)
    expect(frames).toBeGreaterThan(FEW_PAGES)
    await sqlite(small, 'PRAGMA page_size=512; CREATE TABLE s(x); INSERT INTO s VALUES(1)')
    await ltxd('ltx', 'encode-db', small, '-o', snapshot)
    await ltxd('ltx', 'apply', '--force', '--db', giant, snapshot)
    await same(giant, small)
    expect(existsSync(`${giant}-wal`)).toBe(false)
  },
  HOUR_MS,
)
