import type { Measurement } from './harness/bench.ts'
import { median } from './harness/percentiles.ts'
import { databaseOn, sideBySide } from './harness/row.ts'

const ID = 'fifty-databases'
const DATABASES = 50

const updates: Measurement = {
  id: ID,
  what: `write tx/s, WAL FULL, ${DATABASES} databases at once, sum`,
  async start(side, bench) {
    const clients = Array.from({ length: DATABASES }, () => bench.client())
    await Promise.all(clients.map((client, i) => client.create(databaseOn(side, `${ID}-${i}`, 'WAL', 'FULL'))))
    return async (seconds) => {
      const samples = await Promise.all(clients.map((client) => client.measure({ kind: 'update' }, seconds)))
      return {
        operations: samples.reduce((sum, { operations }) => sum + operations, 0),
        seconds: Math.max(...samples.map((sample) => sample.seconds)),
        p50Us: median(samples.map(({ p50Us = 0 }) => p50Us)),
        p99Us: median(samples.map(({ p99Us = 0 }) => p99Us)),
      }
    }
  },
}

/** A process for each database, all writing: the fsync of one must not delay the others. */
export const fiftyDatabases = sideBySide(ID, [updates])
