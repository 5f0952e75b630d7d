import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { useBuiltTools } from '../infra/test-tools.ts'
import { type ClusterMember, TestCluster } from '../test/harness/cluster.ts'
import { signalProcess } from '../test/harness/processes.ts'
import { S3Server } from '../test/harness/s3-server.ts'
import { until } from '../test/harness/wait.ts'
import type { Bench } from './harness/bench.ts'
import { DistantStore } from './harness/distant-store.ts'
import type { Line } from './harness/figures.ts'
import type { Row } from './harness/row.ts'

const ID = 'failover'
const COUNTS = [100, 1_000]
const STORE_DELAY_MS = 20
const PATIENCE_MS = 600_000

const run = promisify(execFile)
const APPLICATION = fileURLToPath(new URL('harness/many-databases.ts', import.meta.url))

/** The end of the former lease, and the moment at which this node led, from its log. */
const LED = /^(\S+) info +this node is the primary term=\d+ durationMs=(\d+)/gm

/**
 * The time from the end of a killed primary's lease until an application can write on the next one, with many databases
 * and a backup in a distant bucket. Needs Consul and versitygw (`bash infra/setup.sh --test-tools`).
 */
export const failover: Row = {
  name: ID,
  run: async (bench) => {
    useBuiltTools()
    const lines: Line[] = []
    for (const count of COUNTS) lines.push(await measure(count, bench))
    return lines
  },
}

async function measure(count: number, bench: Bench): Promise<Line> {
  const server = await S3Server.start('versitygw')
  const store = await DistantStore.start(server.port, STORE_DELAY_MS)
  Object.assign(process.env, server.environment)
  try {
    const backup = (await server.freshUrl()).replaceAll(`:${server.port}`, `:${store.port}`)
    const cluster = await TestCluster.start({ nodes: 2, backup })
    try {
      return await failOver(cluster, store, count, bench)
    } finally {
      await cluster.stop()
    }
  } finally {
    await store.stop()
    await server.stop()
  }
}

async function failOver(cluster: TestCluster, store: DistantStore, count: number, bench: Bench): Promise<Line> {
  const { progress } = bench.options
  const primary = await cluster.primary()
  const replica = cluster.members.find((member) => member !== primary) ?? primary
  progress(`${ID}: making ${count} databases`)
  await application('create', primary.mount, String(count))
  progress(`${ID}: waiting for the replica and the backup`)
  await until('the same on the replica and in the backup', PATIENCE_MS, () => hasAll(primary, replica, count), 1_000)
  progress(`${ID}: ending the primary`)
  signalProcess(primary.node.pid, 'SIGKILL')
  const before = store.requests
  const written = application('write', `${replica.mount}/many-0.db`)
  const led = await until('the next primary', PATIENCE_MS, () => lastLed(replica), 20)
  const requests = store.requests - before
  const value = (await written) - led.sinceMs
  const where = `${count} databases, a store ${STORE_DELAY_MS} ms away`
  const what = `fail-over, end of the lease to first write, ms (${where}; ${requests} requests until it leads)`
  return { id: `${ID}-${count}`, what, ltxd: { value } }
}

async function application(...args: string[]): Promise<number> {
  const { stdout } = await run(process.execPath, ['--import', 'tsx', APPLICATION, ...args], { timeout: PATIENCE_MS })
  return Number(stdout)
}

async function hasAll(primary: ClusterMember, replica: ClusterMember, count: number): Promise<boolean> {
  const [here, there] = await Promise.all([primary.status(), replica.status()])
  const positions = new Map(there?.databases.map(({ name, position }) => [name, position]))
  const all = here?.databases ?? []
  const isSame = all.every(
    ({ name, position, backup }) => positions.get(name) === position && position.startsWith(backup?.txid ?? 'none'),
  )
  return all.length === count && isSame
}

function lastLed({ node }: ClusterMember): { readonly sinceMs: number } | undefined {
  const last = [...readFileSync(node.options.logFile, 'utf8').matchAll(LED)].at(-1)
  if (last?.[1] === undefined) return undefined
  return { sinceMs: Date.parse(last[1]) - Number(last[2]) }
}
