import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { BenchCluster } from './harness/cluster.ts'
import { databaseOn, type Row } from './harness/row.ts'

const ID = 'replica-read'

/** Reads by primary key on an idle replica. */
export const replicaReads: Row = {
  name: 'replica-reads',
  run: (bench) =>
    BenchCluster.use(bench, 'replica-reads', {}, async (cluster) => {
      const replica = await cluster.replica()
      await replica.node.mounted()
      const native = { name: 'native' as const, directory: join(cluster.base, 'native') }
      mkdirSync(native.directory)
      const line = await bench.compare(
        {
          id: ID,
          what: 'point reads/s on a replica, WAL',
          async start(side) {
            const reader = bench.client()
            const database = databaseOn(side, ID, 'WAL', 'NORMAL')
            if (side.name === 'native') {
              await reader.create(database)
            } else {
              await bench.client().create(databaseOn(cluster.primary.side(), ID, 'WAL', 'NORMAL'))
              await cluster.inStep(replica, `${ID}.db`)
              await reader.open(database)
            }
            return (seconds) => reader.measure({ kind: 'read' }, seconds)
          },
        },
        [native, replica.side()],
      )
      return [line]
    }),
}
