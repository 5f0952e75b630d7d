import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Measurement } from './harness/bench.ts'
import { databaseOn, type Row } from './harness/row.ts'

const ID = 'commit-by-count'
const OTHERS = 999
/** Creating a database takes about ten fsyncs. */
const POPULATE_SECONDS = OTHERS / 4

/** The cost of a commit, in a node's only database and in one of a thousand: it must be the same. */
export const commitByCount: Row = {
  name: ID,
  run: (bench) =>
    bench.withSides(ID, async (sides) => {
      const alone = await bench.compare(updatesBeside(`${ID}-alone`, 0), sides)
      const beside = await bench.compare(updatesBeside(ID, OTHERS), sides)
      return [alone, { ...beside, without: alone.ltxd }]
    }),
}

function updatesBeside(id: string, others: number): Measurement {
  return {
    id,
    what: `write tx/s, WAL NORMAL, one database${others === 0 ? '' : ` beside ${others}`}`,
    async start(side, bench) {
      const client = bench.client()
      await client.create(databaseOn(side, id, 'WAL', 'NORMAL'))
      const directory = join(side.directory, 'others')
      mkdirSync(directory, { recursive: true })
      if (others > 0) await client.measure({ kind: 'populate', directory, count: others }, POPULATE_SECONDS)
      return (seconds) => client.measure({ kind: 'update' }, seconds)
    },
  }
}
