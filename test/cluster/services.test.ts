import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Queue } from 'bullmq'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { fetchStatus } from '../../src/api/client.ts'
import type { DatabaseStatus } from '../../src/api/status.ts'
import { loadHistory, loadMetadata } from '../../src/backup/history/history.ts'
import { verifyBackup } from '../../src/backup/history/verify.ts'
import { parseTXID } from '../../src/ltx/format/types.ts'
import { openObjectStore } from '../../src/objectstore/stores/open.ts'
import { KEY_PREFIX } from '../../workers/queues.ts'
import { BackgroundCommand } from '../harness/background.ts'
import { type ClusterMember, TestCluster } from '../harness/cluster.ts'
import { shorten } from '../harness/limits.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { RedisServer } from '../harness/redis-server.ts'
import { findS3Server, freePort, S3Server } from '../harness/s3-server.ts'
import { until } from '../harness/wait.ts'
import { SqlClient } from './sql-client.ts'

/**
 * An object store that is missing, rejects, hangs, is full or dies: the node logs a clear line, and continues by itself
 * once the store is back.
 */

const run = promisify(execFile)
const DATABASE = 'app.db'
const missing = [
  ...(['consul', 'redis-server'] as const).filter((tool) => findTool(tool) === undefined),
  ...(findS3Server('versitygw') ? [] : ['versitygw']),
]
if (missing.length > 0 && process.env['CI'] === 'true') throw new Error(`not installed: ${missing.join(', ')}`)

const LIMITS = shorten({ answerMs: 4_000, uploadMs: 4_000 })
const UNSETTLED_MS = 2 * LIMITS.uploadMs
const before = { ...process.env }
const ends: (() => Promise<unknown> | void)[] = []
let root = ''

beforeAll(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'ltxd-services-')))
})
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
  process.env = { ...before }
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

describe.skipIf(missing.length > 0)('a cluster whose bucket is away', () => {
  test('waits for the bucket before its first lead and in a fail-over, and serves without it meanwhile', async () => {
    const server = await s3()
    const backup = await server.freshUrl('cluster')
    await server.kill()
    const cluster = await TestCluster.start({ nodes: 0, backup })
    ends.push(() => cluster.stop())
    const first = await cluster.add()
    await said(first.node, /starting without the backup, which does not answer/)
    await said(first.node, /could not take over: .*nothing listens there/)
    await server.run()
    await leads(first)
    const second = await cluster.add()
    await cluster.settled()
    const app = open(first.mount)
    await app.exec('PRAGMA journal_mode = wal; CREATE TABLE t (n INTEGER)')
    await shipped(first)

    await server.kill()
    await app.exec('INSERT INTO t VALUES (1)')
    await said(first.node, /the backup failed; it is retried/)
    expect((await status(first))?.backup?.lastError).toMatch(/nothing listens there/)
    await app.exec('INSERT INTO t VALUES (2)')
    await server.run()
    await shipped(first)
    await said(first.node, /the backup works again/)
    expect(count(first.node, /the backup failed; it is retried/g)).toBe(1)

    // Away again. Only the last leader may lead without reading it.
    await server.kill()
    await app.exec('INSERT INTO t VALUES (3)')
    await until('the same on both', 60_000, async () => {
      return (await status(second))?.position === (await status(first))?.position
    })
    app.kill()
    await first.node.killTree()
    await said(second.node, /could not take over: .*nothing listens there/)
    expect((await second.status())?.role).toBe('idle')
    expect(await open(second.mount).value('SELECT sum(n) FROM t')).toBe(6)
    expect((await open(second.mount).errorOf('INSERT INTO t VALUES (4)'))?.code).toMatch(
      /^SQLITE_(READONLY|IOERR_WRITE)/,
    )
    await server.run()
    await leads(second)
    await open(second.mount).exec('INSERT INTO t VALUES (4)')
    await shipped(second)
  })

  test('or hangs: the last leader leads again without it, and ships once it answers', async () => {
    const server = await s3()
    const backup = await server.freshUrl('cluster')
    const cluster = await TestCluster.start({ nodes: 1, backup })
    ends.push(() => cluster.stop())
    const [node] = cluster.members as [ClusterMember]
    const app = open(node.mount)
    await app.exec('PRAGMA journal_mode = wal; CREATE TABLE t (n INTEGER)')
    await shipped(node)
    server.freeze()
    ends.push(() => server.thaw())
    await app.exec('INSERT INTO t VALUES (1)')
    app.kill()
    await node.node.kill()
    await node.node.destroy()
    await node.restart()
    await said(node.node, /starting without the backup, which does not answer.*no answer within 4 s/)
    await said(node.node, /leading again without reading the backup, which does not answer.*no answer within 4 s/)
    await leads(node)
    await open(node.mount).exec('INSERT INTO t VALUES (2)')
    server.thaw()
    await shipped(node)
    expect(await open(node.mount).value('SELECT sum(n) FROM t')).toBe(3)
  })
})

describe.skipIf(missing.length > 0)('workers beside a cluster', () => {
  test('compact the files of the leader once they are old enough, although Redis dies and the bucket hangs', async () => {
    const server = await s3()
    const backup = await server.freshUrl('cluster')
    const redis = await RedisServer.start()
    ends.push(() => redis.stop())
    const levels = 'levels: [1s, 2s]'
    const config = `backup: { url: "${backup}", compaction: workers, ${levels}, sync-interval: 200ms }\n`
    const cluster = await TestCluster.start({ nodes: 1, config })
    ends.push(() => cluster.stop())
    const [node] = cluster.members as [ClusterMember]
    const dir = mkdtempSync(join(root, 'workers-'))
    writeFileSync(join(dir, 'ltxd.yml'), `backup: { ${levels} }\nstop-timeout: 5s\n`)
    const command = (name: string, ...args: string[]) => {
      const started = new BackgroundCommand([name, '--redis', redis.url, ...args], join(dir, name), {}, dir)
      ends.push(() => started.stop('SIGKILL'))
      return started
    }
    const both = [
      command('worker', '--store', `here=${backup}`, '--lock-time', '2s'),
      command('scheduler', '--backup', backup, '--discover', '1s'),
    ]
    await Promise.all(both.map((one) => one.said(/ready/)))

    const app = open(node.mount)
    await app.exec('PRAGMA journal_mode = wal; CREATE TABLE t (n INTEGER)')
    for (let n = 1; n <= 5; n++) {
      await app.exec(`INSERT INTO t VALUES (${n})`)
      await shipped(node)
    }
    await redis.end()
    await Promise.all(both.map((one) => one.said(/Redis cannot be reached/)))
    await redis.run()
    await Promise.all(both.map((one) => one.said(/Redis is back/)))
    server.freeze()
    await app.exec('INSERT INTO t VALUES (6)')
    await until('jobs that wait for the bucket', 60_000, async () => (await active(redis)) > 0, 50)
    server.thaw()
    await shipped(node)

    const store = openObjectStore(backup)
    ends.push(() => store.close())
    const last = parseTXID((await status(node))?.position.split('/')[0] ?? '')
    const reached = (level: number) => async () => {
      const files = (await loadHistory(store, DATABASE)).files.filter((file) => file.level === level)
      return files.some(({ max }) => max === last) && files
    }
    const [level1] = await Promise.all([
      until('level 1', 60_000, reached(1), 100),
      until('level 2', 60_000, reached(2), 100),
    ])
    const { files } = await loadHistory(store, DATABASE)
    for (const made of level1) {
      const from = files.filter(({ level, max }) => level === 0 && max <= made.max)
      // Servers report times in seconds.
      for (const { storedMs = 0 } of from) expect(made.storedMs).toBeGreaterThanOrEqual(storedMs + UNSETTLED_MS - 1_000)
      expect((await loadMetadata(store, made)).term).toBe(1n)
    }
    expect(count(node.node, /maintenance/g)).toBe(0)
    for (const one of both) expect(one.output().match(/Redis cannot be reached/g)).toHaveLength(1)
    expect(await Promise.all(both.map((one) => one.stop()))).toEqual([0, 0])
    expect((await verifyBackup(store)).flatMap(({ findings }) => findings)).toEqual([])
  })

  async function active(redis: RedisServer): Promise<number> {
    const client = redis.client()
    const queue = new Queue('compact', { connection: client, prefix: KEY_PREFIX })
    try {
      return await queue.getActiveCount()
    } finally {
      await queue.close()
      client.disconnect()
    }
  }
})

async function s3(): Promise<S3Server> {
  const server = await S3Server.start('versitygw')
  ends.push(() => server.stop())
  Object.assign(process.env, server.environment)
  return server
}

const clients: SqlClient[] = []

function open(mount: string): SqlClient {
  const client = new SqlClient(join(mount, DATABASE), { timeoutMs: 0 })
  clients.push(client)
  ends.push(() => client.kill())
  return client
}

function output(node: LtxdNode): string {
  return readFileSync(node.options.logFile, 'utf8')
}

function count(node: LtxdNode, what: RegExp): number {
  return output(node).match(what)?.length ?? 0
}

async function said(node: LtxdNode, what: RegExp, deadlineMs = 60_000): Promise<void> {
  try {
    await until(`${String(what)} from ltxd`, deadlineMs, () => what.test(output(node)), 50)
  } catch (error) {
    throw node.explain(error)
  }
}

async function status(member: { readonly url: string }): Promise<DatabaseStatus | undefined> {
  try {
    return (await fetchStatus(member.url)).databases.find(({ name }) => name === DATABASE)
  } catch {
    return undefined
  }
}

async function leads(member: ClusterMember): Promise<void> {
  try {
    await until(`the lead of ${member.name}`, 60_000, async () => (await member.status())?.role === 'primary')
  } catch (error) {
    throw member.node.explain(error)
  }
}

/** Waits until the backup has every commit of this node. */
async function shipped(member: { readonly url: string; readonly node: LtxdNode }): Promise<void> {
  try {
    await until('the backup', 60_000, async () => {
      const database = await status(member)
      return database?.backup !== undefined && database.backup.txid === database.position.split('/')[0]
    })
  } catch (error) {
    throw member.node.explain(error)
  }
}

describe('a node alone', () => {
  test('whose store rejects it says so, keeps serving, and catches up once it is allowed', async () => {
    if (missing.includes('versitygw')) return
    const server = await s3()
    const backup = await server.freshUrl('alone')
    const options = await place('refused', backup)
    const first = start(options)
    await first.mounted()
    await open(options.mount).exec('PRAGMA journal_mode = wal; CREATE TABLE t (n INTEGER)')
    await shipped({ url: options.url, node: first })
    for (const client of clients.splice(0)) client.kill()
    expect(await first.stop()).toEqual({ code: 0, signal: null })

    process.env['AWS_SECRET_ACCESS_KEY'] = 'wrong'
    const second = start(options)
    await second.mounted()
    await said(second, /starting without the backup, which rejects.*check AWS_ACCESS_KEY_ID/)
    await open(options.mount).exec('INSERT INTO t VALUES (1)')
    await said(second, /the backup failed; it is retried/)
    expect((await status(options))?.backup?.lastError).toMatch(/check AWS_ACCESS_KEY_ID/)
    for (const client of clients.splice(0)) client.kill()
    expect((await second.stop()).code, 'not everything is in the backup').toBe(1)

    Object.assign(process.env, server.environment)
    const third = start(options)
    await third.mounted()
    await shipped({ url: options.url, node: third })
    expect(await open(options.mount).value('SELECT sum(n) FROM t')).toBe(1)
  })

  test('whose backup directory is full says so, and catches up once there is space', async () => {
    const small = join(root, 'small')
    await run('mkdir', ['-p', small])
    await run('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'ltxd-test', small])
    ends.push(() => run('umount', ['-l', small]))
    const options = await place('full', `file://${small}/backup`)
    const node = start(options)
    await node.mounted()
    const app = open(options.mount)
    await app.exec('PRAGMA journal_mode = wal; CREATE TABLE t (data BLOB)')
    await shipped({ url: options.url, node })
    const { stdout } = await run('df', ['--output=avail', '-B1', small])
    const filler = join(small, 'filler')
    writeFileSync(filler, Buffer.alloc(Number(stdout.split('\n')[1]) - 65_536))
    await app.exec('INSERT INTO t VALUES (randomblob(400000))')
    await said(node, /the backup failed; it is retried.*free some space/s)
    await app.exec('INSERT INTO t VALUES (randomblob(100))')
    rmSync(filler)
    await shipped({ url: options.url, node })
    await said(node, /the backup works again/)
    expect(count(node, /the backup failed; it is retried/g)).toBe(1)
  })

  interface Place {
    readonly mount: string
    readonly data: string
    readonly backup: string
    readonly http: string
    readonly url: string
    readonly logFile: string
  }

  async function place(name: string, backup: string): Promise<Place> {
    const http = `127.0.0.1:${await freePort()}`
    const dir = join(root, name)
    return { mount: `${dir}-mnt`, data: `${dir}-data`, backup, http, url: `http://${http}`, logFile: `${dir}.log` }
  }

  function start({ mount, data, backup, http, logFile }: Place): LtxdNode {
    const node = LtxdNode.start({ mount, data, backup, http, logFile })
    ends.push(() => node.destroy())
    return node
  }
})
