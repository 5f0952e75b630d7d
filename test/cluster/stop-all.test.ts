import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { ltxd } from '../cli/run.ts'
import { type ClusterMember, TestCluster } from '../harness/cluster.ts'
import { SEED } from '../harness/effort.ts'
import { shorten } from '../harness/limits.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { signalProcess } from '../harness/processes.ts'
import { Random } from '../harness/random.ts'
import { freePort } from '../harness/s3-server.ts'
import { until } from '../harness/wait.ts'
import { SqlClient } from './sql-client.ts'

/** All nodes stop at once, as in a deployment: what was acknowledged is in the backup, or a node exits with 1. */

const DATABASE = 'app.db'
const isMissing = findTool('consul') === undefined
if (isMissing && process.env['CI'] === 'true') throw new Error('not installed: consul')

shorten({ uploadMs: 4_000 })
const ends: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

describe.skipIf(isMissing)('a clean stop of all nodes', () => {
  test(`inside the upload window leaves everything in the backup, in any order (LTXD_SEED=${SEED})`, async () => {
    const random = new Random(SEED)
    const { cluster, backup } = await start(3)
    const [first, ...others] = cluster.members as [ClusterMember, ...ClusterMember[]]
    await first.node.killTree()
    const leader = await cluster.primary({ not: first })
    await first.restart()
    await first.node.mounted()
    await cluster.settled()
    await write(leader, 30)
    const order = [first, ...others].map((member) => ({ member, at: random.next() }))
    order.sort((a, b) => a.at - b.at)
    const stops = await Promise.all(order.map(({ member }) => member.node.stop()))
    expect(stops, explained(cluster)).toEqual(order.map(() => ({ code: 0, signal: null })))
    expect(await restored(backup, cluster.dir)).toBe('31')
  })

  test('after the leader was killed leaves everything in the backup: a replica leads once more', async () => {
    const { cluster, backup } = await start(2)
    const leader = await cluster.primary()
    const replica = cluster.members.find((member) => member !== leader) ?? leader
    await write(leader, 1)
    await until('the row', 60_000, async () => (await position(replica)) === (await position(leader)))
    await leader.node.killTree()
    expect(await replica.node.stop(), explained(cluster)).toEqual({ code: 0, signal: null })
    expect(await restored(backup, cluster.dir)).toBe('2')
  })

  test('without the backup exits with 1 and says what is only here', async () => {
    const { cluster, backup } = await start(1, 'stop-timeout: 3s\n')
    const [node] = cluster.members as [ClusterMember]
    // At once: the node may be writing below it.
    signalProcess(node.node.pid, 'SIGSTOP')
    renameSync(backup, `${backup}-gone`)
    writeFileSync(backup, 'no directory')
    signalProcess(node.node.pid, 'SIGCONT')
    await write(node, 1)
    expect((await node.node.stop()).code).toBe(1)
    expect(readFileSync(node.node.options.logFile, 'utf8')).toMatch(
      /stopped, but the backup \S+ lacks transactions of this node: app\.db after transaction [0-9a-f]{16}/,
    )
  })
})

test('a fixed primary that stops ships everything, although a replica has it, which never leads', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'ltxd-fixed-primary-'))
  const backup = `file://${dir}/backup`
  const nodes: LtxdNode[] = []
  ends.push(async () => {
    for (const node of nodes) await node.destroy()
    rmSync(dir, { recursive: true, force: true })
  })
  const fixed = async (name: string, yaml: string, port: number) => {
    const place = join(dir, name)
    writeFileSync(`${place}.yml`, yaml)
    const [mount, data, logFile] = [`${place}-mnt`, `${place}-data`, `${place}.log`]
    const node = LtxdNode.start({
      mount,
      data,
      logFile,
      http: `127.0.0.1:${port}`,
      arguments: ['--config', `${place}.yml`],
    })
    nodes.push(node)
    await node.mounted()
    return node
  }
  const port = await freePort()
  const primary = await fixed('one', `lease: { type: static }\nbackup: { url: "${backup}", sync-interval: 1h }\n`, port)
  const url = `http://127.0.0.1:${port}`
  const replica = await fixed('two', `lease: { type: static, candidate: false, advertise-url: "${url}" }\n`, 0)
  await using app = new SqlClient(join(primary.options.mount, DATABASE), { timeoutMs: 30_000 })
  await app.exec('PRAGMA journal_mode = wal; CREATE TABLE t (n INTEGER)')
  for (let i = 0; i < 5; i++) await app.exec('INSERT INTO t VALUES (1)')
  await app[Symbol.asyncDispose]()
  await using reader = new SqlClient(join(replica.options.mount, DATABASE), { timeoutMs: 30_000 })
  await until('the rows', 60_000, async () => (await reader.value('SELECT count(*) FROM t').catch(() => 0)) === 5)
  expect(await primary.stop()).toEqual({ code: 0, signal: null })
  expect(await restored(join(dir, 'backup'), dir)).toBe('5')
})

async function start(nodes: number, config = ''): Promise<{ cluster: TestCluster; backup: string }> {
  const cluster = await TestCluster.start({ nodes: 0, backup: () => `file://${place.backup}`, config })
  ends.push(() => cluster.stop())
  const backup = (place.backup = join(cluster.dir, 'backup'))
  for (let i = 0; i < nodes; i++) {
    const member = await cluster.add()
    await member.node.mounted()
    if (i === 0) await cluster.primary()
  }
  const leader = await cluster.settled()
  await using app = open(leader)
  await app.exec('PRAGMA journal_mode = wal; CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1)')
  await until('the backup', 60_000, async () => {
    const found = (await leader.status())?.databases.find(({ name }) => name === DATABASE)
    return found?.backup?.txid === found?.position.split('/')[0]
  })
  return { cluster, backup }
}

const place = { backup: '' }

function open(member: ClusterMember): SqlClient {
  return new SqlClient(join(member.mount, DATABASE), { timeoutMs: 30_000 })
}

async function write(member: ClusterMember, rows: number): Promise<void> {
  await using app = open(member)
  for (let i = 0; i < rows; i++) await app.exec('INSERT INTO t VALUES (1)')
}

async function position(member: ClusterMember): Promise<string | undefined> {
  return (await member.status())?.databases.find(({ name }) => name === DATABASE)?.position
}

async function restored(backup: string, dir: string): Promise<string> {
  const file = join(dir, 'restored.db')
  expect(await ltxd(['restore', `file://${backup}`, DATABASE, '-o', file])).toMatchObject({ code: 0 })
  await using app = new SqlClient(file, {})
  return String(await app.value('SELECT count(*) FROM t'))
}

function explained({ members }: TestCluster): string {
  return members.map(({ name, node }) => `--- ${name} ---\n${node.logTail(25)}`).join('\n')
}
