import type { Bench } from './harness/bench.ts'
import { BenchCluster, type Member } from './harness/cluster.ts'
import type { Line } from './harness/figures.ts'
import { databaseOn, type Row } from './harness/row.ts'
import type { JournalMode } from './harness/workload.ts'

const ID = 'replica-backlog'
const SECONDS = 20
const MODES: readonly JournalMode[] = ['WAL', 'DELETE']

/** How far behind a replica is when a writer has committed at full speed for a while, and for how long after that. */
export const replicaBacklog: Row = {
  name: ID,
  run: (bench) =>
    BenchCluster.use(bench, ID, {}, async (cluster) => {
      const replica = await cluster.replica()
      await replica.node.mounted()
      const lines: Line[] = []
      for (const mode of MODES) lines.push(await backlog(bench, cluster, replica, mode))
      return lines
    }),
}

async function backlog(bench: Bench, cluster: BenchCluster, replica: Member, mode: JournalMode): Promise<Line> {
  const id = `${ID}-${mode.toLowerCase()}`
  const name = `${id}.db`
  const writer = bench.client()
  await writer.create(databaseOn(cluster.primary.side(), id, mode, 'NORMAL'))
  const before = await cluster.inStep(replica, name)
  bench.options.progress(`${id}: writing for ${SECONDS} s`)
  const { operations, seconds } = await writer.measure({ kind: 'flood' }, SECONDS)
  const there = await replica.database(name)
  const endedAt = performance.now()
  await cluster.inStep(replica, name)
  const restMs = Math.round(performance.now() - endedAt)
  const applied = there === undefined ? 0 : txidOf(there.position) - txidOf(before.position)
  const share = `${Math.round((100 * applied) / operations)} % on the replica at the end`
  const rate = `${Math.round(operations / seconds).toLocaleString('en-US')} tx/s for ${SECONDS} s`
  return {
    id,
    what: `replica in step after a writer in ${mode} mode ends, ms (${rate}, ${share})`,
    ltxd: { value: restMs },
  }
}

function txidOf(position: string): number {
  return Number.parseInt(position, 16)
}
