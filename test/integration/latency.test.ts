import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { SqlClient } from '../cluster/sql-client.ts'
import { LtxdNode } from '../harness/ltxd-node.ts'
import { until } from '../harness/wait.ts'

const LOWEST_NICE = 19

/** Starts a node with one application and this `latency`. */
async function start(latency: string): Promise<{ node: LtxdNode; application: SqlClient }> {
  const base = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'ltxd-latency-'))
  onTestFinished(() => fs.rmSync(base, { recursive: true, force: true }))
  const config = path.join(base, 'ltxd.yml')
  fs.writeFileSync(config, `fuse: { latency: ${latency} }\n`)
  const mount = path.join(base, 'mount')
  const node = LtxdNode.start({
    ...{ mount, data: path.join(base, 'data'), logFile: path.join(base, 'log') },
    arguments: ['--config', config],
  })
  onTestFinished(() => node.destroy())
  await node.mounted()
  const application = new SqlClient(path.join(mount, 'a.db'))
  onTestFinished(() => application.kill())
  await application.exec('PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)')
  return { node, application }
}

/** The threads of a process with the lowest priority. */
function lowestThreads(pid: number): string[] {
  return fs.readdirSync(`/proc/${pid}/task`).filter((tid) => threadFields(pid, tid)[16] === LOWEST_NICE)
}

/** The processor time of one thread, in ticks. */
function processorTime(pid: number, tid: string): number {
  const [user = NaN, system = NaN] = threadFields(pid, tid).slice(11, 13)
  return user + system
}

/** The fields of a thread's stat, from the state on. */
function threadFields(pid: number, tid: string): number[] {
  const stat = fs.readFileSync(`/proc/${pid}/task/${tid}/stat`, 'utf8')
  return stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
}

const write = (application: SqlClient) =>
  application.exec(
    'WITH RECURSIVE i(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < 10) INSERT INTO t (n) SELECT i FROM i',
  )

test.skipIf(os.availableParallelism() < 2)(
  'fuse.latency: low keeps a core awake while requests come, in a thread of the lowest priority',
  async () => {
    const { node, application } = await start('low')
    const [thread = '', ...more] = await until('the thread', 60_000, () => {
      const found = lowestThreads(node.pid)
      return found.length > 0 && found
    })
    expect(more).toEqual([])
    const spent = () => processorTime(node.pid, thread)
    await until('processor time that it takes', 60_000, async () => {
      for (let i = 0; i < 50; i++) await write(application)
      return spent() > 0
    })
    await until('a time without requests in which it takes none', 60_000, async () => {
      const before = spent()
      await new Promise((resolve) => setTimeout(resolve, 1_000))
      return spent() === before
    })
    await application.close()
    expect((await node.stop()).code).toBe(0)
  },
)

test('fuse.latency: normal has no such thread', async () => {
  const { node, application } = await start('normal')
  for (let i = 0; i < 50; i++) await write(application)
  expect(lowestThreads(node.pid)).toEqual([])
})
