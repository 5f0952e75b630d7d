import type { Measurement } from './harness/bench.ts'
import { databaseOn, type Row } from './harness/row.ts'

const ID = 'commit-by-size'
const SMALL_MEGABYTES = 10

/** The cost of a commit, in a small database and in one of `--megabytes`: it must be the same. */
export const commitBySize: Row = {
  name: ID,
  run: (bench) =>
    bench.withSides(ID, async (sides) => {
      const small = await bench.compare(updatesIn(`${ID}-small`, SMALL_MEGABYTES), sides)
      const large = await bench.compare(updatesIn(ID, bench.options.megabytes), sides)
      return [small, { ...large, without: small.ltxd }]
    }),
}

function updatesIn(id: string, megabytes: number): Measurement {
  return {
    id,
    what: `write tx/s, WAL NORMAL, a database of ${megabytes} MB`,
    async start(side, bench) {
      const client = bench.client()
      await client.create(databaseOn(side, id, 'WAL', 'NORMAL'))
      await client.measure({ kind: 'fill', megabytes }, megabytes / 10)
      return (seconds) => client.measure({ kind: 'update' }, seconds)
    },
  }
}
