import { setTimeout as sleep } from 'node:timers/promises'
import { memoryBytes, processTree } from '../test/harness/processes.ts'
import { median } from './harness/percentiles.ts'
import { databaseOn, type Row } from './harness/row.ts'

const ID = 'memory'
const LOOKS = 9
const LOOK_EVERY_MS = 1_000

/**
 * The memory of all processes of a node while its database is written and read. Shared pages count proportionally
 * (PSS).
 */
export const memory: Row = {
  name: ID,
  run: (bench) =>
    bench.withSides(ID, async ([, side]) => {
      const { megabytes } = bench.options
      const client = bench.client()
      await client.create(databaseOn(side, ID, 'WAL', 'NORMAL'))
      await client.measure({ kind: 'fill', megabytes }, megabytes / 10)
      const { daemonPid = 0 } = side
      const looks: number[] = []
      for (let look = 1; look <= LOOKS; look++) {
        bench.options.progress(`memory: look ${look} of ${LOOKS}`)
        await client.measure({ kind: look % 2 === 0 ? 'read' : 'update' }, 1)
        await sleep(LOOK_EVERY_MS)
        looks.push(processTree(daemonPid).reduce((sum, one) => sum + memoryBytes(one), 0) / 1e6)
      }
      return [
        { id: ID, what: `memory in MB, all processes, a database of ${megabytes} MB`, ltxd: { value: median(looks) } },
      ]
    }),
}
