import { rmSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Bench } from './harness/bench.ts'
import { BenchCluster } from './harness/cluster.ts'
import type { Line } from './harness/figures.ts'
import { median } from './harness/percentiles.ts'
import { databaseOn, type Row } from './harness/row.ts'

const MAX_ROUNDS = 3
const ID = 'new-replica'
const WAYS = ['stream', 'backup'] as const

/**
 * The time from the start of a node with an empty data directory until an application reads the first row, from the
 * primary or from the backup.
 */
export const newReplica: Row = {
  name: ID,
  run: (bench) =>
    BenchCluster.use(bench, ID, { backup: true }, async (cluster) => {
      const { megabytes, rounds } = bench.options
      const writer = bench.client()
      await writer.create(databaseOn(cluster.primary.side(), ID, 'WAL', 'NORMAL'))
      await writer.measure({ kind: 'fill', megabytes }, megabytes / 10)
      await cluster.backedUp(`${ID}.db`)
      const seconds = { stream: [] as number[], backup: [] as number[] }
      for (let round = 1; round <= Math.min(rounds, MAX_ROUNDS); round++) {
        for (const way of WAYS) {
          bench.options.progress(`new replica by ${way}, round ${round}`)
          seconds[way].push(await secondsToFirstQuery(cluster, bench, way))
        }
      }
      return WAYS.map((way) => lineOf(way, megabytes, median(seconds[way])))
    }),
}

async function secondsToFirstQuery(cluster: BenchCluster, bench: Bench, way: (typeof WAYS)[number]): Promise<number> {
  const reader = bench.client()
  await reader.ready()
  const start = performance.now()
  const replica = await cluster.replica({ backup: way === 'backup' })
  await cluster.inStep(replica, `${ID}.db`)
  await reader.open(databaseOn({ name: 'ltxd', directory: replica.mount }, ID, 'WAL', 'NORMAL'))
  await reader.measure({ kind: 'read' }, 0)
  const seconds = (performance.now() - start) / 1000
  reader.kill()
  await replica.node.stop()
  rmSync(dirname(replica.mount), { recursive: true })
  return seconds
}

function lineOf(way: (typeof WAYS)[number], megabytes: number, seconds: number): Line {
  const by = way === 'stream' ? 'the stream' : 'a backup on disk'
  const what = `new replica to first query by ${by}, MB/s (${megabytes} MB: ${seconds.toFixed(1)} s)`
  return { id: `${ID}-${way}`, what, ltxd: { value: megabytes / seconds } }
}
