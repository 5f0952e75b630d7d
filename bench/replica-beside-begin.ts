import { BenchCluster } from './harness/cluster.ts'
import { watched } from './harness/replica-lag.ts'
import { databaseOn, type Row } from './harness/row.ts'

const ID = 'replica-beside-begin'
const TRANSACTIONS = 2_000

/**
 * The rate at which a replica applies while an application on it asks for the write lock in a loop. The column "native"
 * has the rate without that application.
 */
export const replicaBesideBegin: Row = {
  name: ID,
  run: (bench) =>
    BenchCluster.use(bench, ID, {}, async (cluster) => {
      const replica = await cluster.replica()
      await replica.node.mounted()
      const measure = watched(cluster, replica, ID, () => ({ count: TRANSACTIONS }))
      let shared: ReturnType<typeof measure> | undefined
      const line = await bench.compare(
        {
          id: ID,
          what: 'tx/s applied beside BEGIN IMMEDIATE in a loop ("native": without)',
          async start(side) {
            const round = await (shared ??= measure(side, bench))
            if (side.name === 'native') return round
            const beginner = bench.client()
            await beginner.open(databaseOn(side, ID, 'WAL', 'NORMAL'))
            return async (seconds) => {
              const [sample] = await Promise.all([round(seconds), beginner.measure({ kind: 'begin' }, seconds)])
              return sample
            }
          },
        },
        [{ ...replica.side(), name: 'native' }, replica.side()],
      )
      await cluster.inStep(replica, `${ID}.db`)
      return [line]
    }),
}
