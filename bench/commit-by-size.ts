import { databaseOn, type Row } from './harness/row.ts'
import type { Measurement } from './harness/bench.ts'

const SMALL_MEGABYTES = 10

/** The cost of a commit, in a small database and in one of `--megabytes`: it must be the same. */
export const commitBySize: Row = {
  name: 'commit-by-size',
  run: (bench) =>
    bench.withSides('commit-by-size', async (sides) => {
      const small = await bench.compare(updatesIn('small', SMALL_MEGABYTES), sides)
      const large = await bench.compare(updatesIn('large', bench.options.megabytes), sides)
      return [small, large]
    }),
}

function updatesIn(size: string, megabytes: number): Measurement {
  const id = `commit-by-size-${size}`
  return {
    id,
    what: `write tx/s, WAL FULL, a database of ${megabytes} MB`,
    async start(side, bench) {
      const client = bench.client()
      await client.create(databaseOn(side, id, 'WAL', 'FULL'))
      await client.measure({ kind: 'fill', megabytes }, megabytes / 10)
      return (seconds) => client.measure({ kind: 'update' }, seconds)
    },
  }
}
