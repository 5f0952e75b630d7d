import type { Measurement } from './bench.ts'
import { BenchCluster, type Member } from './cluster.ts'
import { databaseOn, type Row } from './row.ts'
import type { Workload } from './workload.ts'

/** The wait beyond the time of a measurement before it counts as failed. */
const PATIENCE_SECONDS = 20

type Stamps = Omit<Extract<Workload, { kind: 'stamp' }>, 'kind'>

/** A writer on the primary and a watcher on the replica, which have the database open all the time. */
export function watched(
  cluster: BenchCluster,
  replica: Member,
  id: string,
  stampsOf: (seconds: number) => Stamps,
): Measurement['start'] {
  return async (_, bench) => {
    const writer = bench.client()
    const watcher = bench.client()
    await writer.create(databaseOn(cluster.primary.side(), id, 'WAL', 'NORMAL'))
    await cluster.inStep(replica, `${id}.db`)
    await watcher.open(databaseOn(replica.side(), id, 'WAL', 'NORMAL'))
    return async (seconds) => {
      const stamps = stampsOf(seconds)
      const watching = watcher.measure({ kind: 'watch', count: stamps.count }, seconds + PATIENCE_SECONDS)
      const writing = writer.measure({ kind: 'stamp', ...stamps }, seconds + PATIENCE_SECONDS)
      const [sample] = await Promise.all([watching, writing])
      return sample
    }
  }
}

/**
 * A line with the age of rows when they become visible on a replica. The watcher checks that each transaction arrives
 * in order. At the end both nodes must be at the same position, which includes the checksum of all pages, and SQLite's
 * integrity check must pass.
 */
export function replicaLag(id: string, what: string, stampsOf: (seconds: number) => Stamps): Row {
  return {
    name: id,
    run: (bench) =>
      BenchCluster.use(bench, id, {}, async (cluster) => {
        const replica = await cluster.replica()
        await replica.node.mounted()
        const start = watched(cluster, replica, id, stampsOf)
        const line = await bench.compare({ id, what, start }, [replica.side()])
        await cluster.inStep(replica, `${id}.db`)
        const checker = bench.client()
        await checker.open(databaseOn(replica.side(), id, 'WAL', 'NORMAL'))
        await checker.check()
        return [line]
      }),
  }
}
