import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { type ClusterMember, TestCluster } from '../harness/cluster.ts'
import { shorten } from '../harness/limits.ts'
import { localClients, signalProcess } from '../harness/processes.ts'
import { until, within } from '../harness/wait.ts'
import { SqlClient } from './sql-client.ts'

/** The local client of a replica hangs: its process is stopped. It is ended, so that nothing waits for it for ever. */

shorten({ clientMs: 3_000 })
const isMissing = findTool('consul') === undefined
if (isMissing && process.env['CI'] === 'true') throw new Error('not installed: consul')
const ends: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

function open(member: ClusterMember): SqlClient {
  const client = new SqlClient(join(member.mount, 'app.db'), { timeoutMs: 60_000 })
  ends.push(() => client[Symbol.asyncDispose]())
  return client
}

const log = (member: ClusterMember) => readFileSync(member.node.options.logFile, 'utf8')

/** A replica whose local client has stopped, with what its primary sent since. */
async function hung(count: number, rowBytes: number) {
  const cluster = await TestCluster.start({ nodes: 2 })
  ends.push(() => cluster.stop())
  const leader = await cluster.primary()
  const replica = cluster.members.find((member) => member !== leader) ?? leader
  const app = open(leader)
  await app.exec('CREATE TABLE t (n)')
  const rows = open(replica)
  await until('the table', 60_000, () => rows.value('SELECT count(*) + 1 FROM t').catch(() => undefined))
  await rows[Symbol.asyncDispose]()
  const [pid = 0] = await until('the client', 60_000, () => {
    const pids = localClients(replica.node.pid)
    return pids.length === 1 && pids
  })
  signalProcess(pid, 'SIGSTOP')
  ends.push(() => Promise.resolve(signalProcess(pid, 'SIGKILL')))
  for (let n = 0; n < count; n++) await app.exec(`INSERT INTO t VALUES (randomblob(${rowBytes}))`)
  const behind = async () => (await replica.status())?.databases[0]?.replication?.behind ?? 0
  await until('what is not applied', 60_000, async () => (await behind()) > 0)
  return { cluster, leader, replica, pid }
}

describe.skipIf(isMissing)('a replica whose local client hangs', () => {
  test('stops when it is told to', async () => {
    // More than the pipe to the client takes.
    const { replica, pid } = await hung(40, 40_000)
    await within('the end of the node', 60_000, replica.node.stop())
    expect(log(replica)).toMatch(/the local client takes nothing: ending it/)
    expect(localClients(pid)).toEqual([])
  }, 180_000)

  test('leads, and does not keep the lease unused, when its primary has died', async () => {
    const { cluster, leader, replica } = await hung(2, 10)
    await leader.node.killTree()
    expect(await cluster.primary({ not: leader })).toBe(replica)
    expect(log(replica)).toMatch(/the local client does not answer: ending it/)
    // What it had received was lost with the client. Another node would have had its turn.
    expect(log(replica)).toMatch(/could not take over: not everything was applied to database app\.db/)
    await open(replica).exec('INSERT INTO t VALUES (1)')
  }, 180_000)
})
