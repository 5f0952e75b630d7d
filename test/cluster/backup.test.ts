import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import type { DatabaseStatus } from '../../src/api/status.ts'
import { loadHistory } from '../../src/backup/history/history.ts'
import { restorablePoints } from '../../src/backup/history/plan.ts'
import { restoreDatabase } from '../../src/backup/restore/restore.ts'
import { formatTXID, parseTXID, toTXID, type TXID } from '../../src/ltx/format/types.ts'
import { openObjectStore } from '../../src/objectstore/stores/open.ts'
import { ltxd } from '../cli/run.ts'
import { type ClusterMember, TestCluster } from '../harness/cluster.ts'
import { CuttingProxy } from '../harness/cutting-proxy.ts'
import { shorten } from '../harness/limits.ts'
import { signalProcess } from '../harness/processes.ts'
import { findS3Server, S3Server } from '../harness/s3-server.ts'
import { until } from '../harness/wait.ts'
import { divergedReports } from './diverged.ts'
import { SqlClient } from './sql-client.ts'

/**
 * One life of a cluster and its bucket: leaders that are killed and stopped, machines that are lost, and nothing of the
 * bucket is.
 */

const run = promisify(execFile)
const DATABASE = 'app.db'
const LITESTREAM = process.env['LITESTREAM_BIN'] ?? findTool('litestream')
const missing = [
  ...(findTool('consul') ? [] : ['consul']),
  ...(findS3Server('versitygw') ? [] : ['versitygw']),
  ...(LITESTREAM ? [] : ['litestream']),
]
if (missing.length > 0 && process.env['CI'] === 'true') throw new Error(`not installed: ${missing.join(', ')}`)

describe.skipIf(missing.length > 0)('a cluster and its bucket', () => {
  shorten({ uploadMs: 4_000 })
  const before = { ...process.env }
  /** Between a node and its replicas, and between a node and its bucket. */
  const streams = new Map<string, CuttingProxy>()
  const ways = new Map<string, CuttingProxy>()
  const clients: SqlClient[] = []
  /** By pid: where in its log a node that was started again begins. */
  const marks = new Map<number, number>()
  let forkedAt: TXID
  let server: S3Server
  let bucket = ''
  let cluster: TestCluster
  let [first, second]: ClusterMember[] = []

  beforeAll(async () => {
    server = await S3Server.start('versitygw')
    Object.assign(process.env, server.environment)
    bucket = await server.freshUrl('cluster')
    for (const name of ['node-1', 'node-2']) ways.set(name, await CuttingProxy.start(server.port))
    cluster = await TestCluster.start({
      nodes: 2,
      backup: (name) => bucket.replace(server.endpoint, `http://127.0.0.1:${ways.get(name)?.port}`),
      advertise: async (name, port) => {
        const proxy = await CuttingProxy.start(port)
        streams.set(name, proxy)
        return `http://127.0.0.1:${proxy.port}`
      },
    })
    first = await cluster.primary()
    second = cluster.members.find((member) => member !== first)
  })

  afterAll(async () => {
    for (const client of clients) client.kill()
    await cluster?.stop()
    for (const proxy of [...streams.values(), ...ways.values()]) await proxy.stop()
    await server?.stop()
    process.env = before
  })

  test('what a killed leader had shipped, and no replica got, is there when the next one leads', async () => {
    const [leader, replica] = [first!, second!]
    const way = ways.get(leader.name) as CuttingProxy
    const app = open(leader)
    // The replica begins with a snapshot, whose position will lie within a file of the bucket.
    cutStream(leader)
    way.hold()
    await app.exec('PRAGMA journal_mode = wal; CREATE TABLE t (id INTEGER PRIMARY KEY, who TEXT, data BLOB)')
    await insert(app, 'both', 20)
    mendStream(leader)
    await same()
    const reader = open(replica)
    expect(await reader.value('SELECT count(*) FROM t')).toBe(20)

    cutStream(leader)
    await app.exec('UPDATE t SET data = randomblob(10) WHERE id < 9')
    await app.exec('UPDATE t SET data = randomblob(10) WHERE id > 15')
    way.release()
    for (const round of [1, 2, 3]) {
      await insert(app, `shipped ${round}`, round * 3)
      await shipped(leader)
    }
    expect((await status(replica))?.position).not.toBe((await status(leader))?.position)
    const { position } = await shipped(leader)
    await leader.node.killTree()
    app.kill()

    await leads(replica)
    expect((await status(replica))?.position).toBe(position)
    expect(log(replica)).toMatch(/the backup is ahead: applying its transactions before leading/)
    expect(await reader.value('SELECT count(*) FROM t')).toBe(38)
    expect(await reader.value('PRAGMA integrity_check')).toBe('ok')
  })

  test('an instance without data boots from the bucket, and catches up with its primary by transactions', async () => {
    const [fresh, leader] = [first!, second!]
    // Nothing is shipped before what the dead leader had under way must have arrived: only the primary has these.
    await insert(open(leader), 'after', 25)
    mendStream(fresh)
    await fresh.node.destroy()
    await restart(fresh)
    await same()
    expect(await open(fresh).value('SELECT count(*) FROM t')).toBe(63)
    expect(log(fresh)).toMatch(/restored from the backup/)
    expect(log(fresh)).not.toMatch(/applying a snapshot from the primary/)
    await shipped(leader)
  })

  test('what arrives from a deposed leader is set aside in the bucket, and it ships nothing more', async () => {
    const [deposed, leader] = [second!, first!]
    const way = ways.get(deposed.name) as CuttingProxy
    const { position: fork } = await shipped(deposed)
    forkedAt = txidOf(fork)
    way.hold(/^PUT \S+\.ltx/)
    cutStream(deposed)
    await insert(open(deposed), 'lost', 5)
    await until('an upload on its way', 60_000, () => way.isHolding)
    signalProcess(deposed.node.pid, 'SIGSTOP')

    await leads(leader)
    expect((await status(leader))?.position).toBe(fork)
    await insert(open(leader), 'kept', 7)
    // It arrives although nobody waits for its answer any more.
    way.release()
    await until('the lost upload in the bucket', 60_000, async () => (await keys()).some(isBeyond(fork)))
    await shipped(leader)
    const aside = (await keys()).filter((key) => key.includes('/diverged/'))
    expect(aside.length).toBeGreaterThan(0)
    expect(log(leader)).toMatch(/a deposed leader shipped transactions that no other node received/)

    mendStream(deposed)
    signalProcess(deposed.node.pid, 'SIGCONT')
    await same()
    expect(divergedReports(deposed, DATABASE)).toMatchObject([{ report: { transactions: 5 } }])
    await insert(open(leader), 'kept too', 4)
    await same()
    await shipped(leader)
    expect((await keys()).filter((key) => key.includes('/diverged/'))).toEqual(aside)
    expect(await open(deposed).value("SELECT count(*) FROM t WHERE who = 'lost'")).toBe(0)
    await everyMomentRestores()
  })

  test('an instance without data that finds nobody leads, and goes on from the right transaction', async () => {
    for (const client of clients) client.kill()
    const last = txidOf((await status(first!))?.position ?? '')
    for (const member of [second!, first!]) expect(await member.node.stop()).toEqual({ code: 0, signal: null })
    await restart(second!)
    await leads(second!)
    const app = open(second!)
    expect(await app.value('SELECT count(*) FROM t')).toBe(74)
    await insert(app, 'alone', 1)
    expect((await status(second!))?.position.split('/')[0]).toBe(formatTXID(toTXID(last + 1n)))
    await shipped(second!)
    await everyMomentRestores()
    expect(await ltxd(['backup', 'verify', bucket])).toMatchObject({ code: 0 })
  })

  /** On a new machine: nothing is left of its data. */
  async function restart(member: ClusterMember): Promise<void> {
    const { length } = readFileSync(member.node.options.logFile, 'utf8')
    await member.restart({ fresh: true })
    marks.set(member.node.pid, length)
    await member.node.mounted()
  }

  function open(member: ClusterMember): SqlClient {
    const client = new SqlClient(join(member.mount, DATABASE), { timeoutMs: 30_000 })
    clients.push(client)
    return client
  }

  async function insert(app: SqlClient, who: string, count: number): Promise<void> {
    for (let i = 0; i < count; i++) await app.exec(`INSERT INTO t (who, data) VALUES ('${who}', randomblob(3000))`)
  }

  async function status(member: ClusterMember): Promise<DatabaseStatus | undefined> {
    return (await member.status())?.databases.find(({ name }) => name === DATABASE)
  }

  /** Waits until the bucket has everything that was committed there. */
  function shipped(member: ClusterMember): Promise<DatabaseStatus> {
    return waiting(`the backup of ${member.name}`, async () => {
      const database = await status(member)
      return database?.backup?.txid === database?.position.split('/')[0] && database
    })
  }

  async function leads(member: ClusterMember): Promise<void> {
    await waiting(`the lead of ${member.name}`, async () => (await member.status())?.role === 'primary')
  }

  async function same(): Promise<void> {
    await waiting('the same on both', async () => {
      await cluster.settled()
      const positions = await Promise.all(cluster.members.map(async (member) => (await status(member))?.position))
      return positions[0] !== undefined && positions[0] === positions[1]
    })
  }

  async function waiting<T>(what: string, condition: () => Promise<T | undefined | false>): Promise<T> {
    try {
      return await until(what, 60_000, condition, 50)
    } catch (error) {
      const logs = cluster.members.map(({ name, node }) => `--- ${name} ---\n${node.logTail(30)}`)
      throw new Error([String(error), ...logs].join('\n'), { cause: error })
    }
  }

  function cutStream({ name }: ClusterMember): void {
    streams.get(name)!.cuts = { times: Infinity, afterBytes: 0 }
  }

  function mendStream({ name }: ClusterMember): void {
    streams.get(name)!.cuts = { times: 0, afterBytes: 0 }
  }

  /** What this start of the node has said. */
  function log({ node }: ClusterMember): string {
    return readFileSync(node.options.logFile, 'utf8').slice(marks.get(node.pid) ?? 0)
  }

  async function keys(): Promise<string[]> {
    const store = openObjectStore(bucket)
    const found: string[] = []
    for await (const { key } of store.list('')) found.push(key)
    await store.close()
    return found
  }

  function isBeyond(position: string): (key: string) => boolean {
    const last = position.split('/')[0] ?? ''
    return (key) => key.includes('/0000/') && (key.match(/([0-9a-f]{16})\.ltx$/)?.[1] ?? '') > last
  }

  /** By ltxd with every checksum right, and, of the newest moment, by Litestream; never with what was lost. */
  async function everyMomentRestores(): Promise<void> {
    const store = openObjectStore(bucket)
    const points = restorablePoints(await loadHistory(store, DATABASE))
    let newest = ''
    for (const txid of points) {
      newest = join(cluster.dir, `${formatTXID(txid)}.db`)
      expect(await restoreDatabase(store, DATABASE, { kind: 'txid', txid }, newest)).toMatchObject({ verified: true })
      if (txid > forkedAt) expect(await sqlite(newest, "SELECT count(*) FROM t WHERE who = 'lost'")).toBe('0\n')
      if (txid !== points.at(-1)) await run('rm', [newest])
    }
    await store.close()
    const theirs = `${newest}-litestream`
    const address = bucket.replace('?', `/${DATABASE}?`)
    // It does not start with it.
    const { AWS_CA_BUNDLE: _, ...env } = process.env
    await run(LITESTREAM!, ['restore', '-o', theirs, address], { env, timeout: 60_000 })
    expect(readFileSync(theirs).equals(readFileSync(newest))).toBe(true)
    await run('rm', [theirs, newest])
  }

  async function sqlite(path: string, sql: string): Promise<string> {
    return (await run('sqlite3', [path, sql], { timeout: 60_000 })).stdout
  }
})

function txidOf(position: string): TXID {
  return parseTXID(position.split('/')[0] ?? '')
}
