import type { Measurement } from './bench.ts'
import { BenchCluster, type Member } from './cluster.ts'
import { databaseOn, type Row } from './row.ts'
import type { Workload } from './workload.ts'

/** What is waited for beyond a measurement's own time before it counts as lost. */
const PATIENCE_SECONDS = 20

type Stamps = Omit<Extract<Workload, { kind: 'stamp' }>, 'kind'>

/** A writer on the primary and a watcher on the replica, both with the database open from beginning to end. */
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
 * One line: how old rows are when they are seen on a replica. At the end both nodes must be at one position, which is
 * one checksum over every page, and SQLite must find nothing wrong; the watcher has made sure that each transaction
 * came, in order.
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
