import { join } from 'node:path'
import type { Bench, Measurement, Side } from './bench.ts'
import type { Line } from './figures.ts'
import type { DatabaseSetup, JournalMode, Synchronous, Workload } from './workload.ts'

/** A row of the table of goals: its name on the command line, and its lines. */
export interface Row {
  readonly name: string
  run(bench: Bench): Promise<Line[]>
}

/** A row that is measured on a native directory and on a mount in the same run. */
export function sideBySide(name: string, measurements: readonly Measurement[]): Row {
  return {
    name,
    run: (bench) =>
      bench.withSides(name, async (sides) => {
        const lines: Line[] = []
        for (const measurement of measurements) lines.push(await bench.compare(measurement, sides))
        return lines
      }),
  }
}

/** A measurement of one client with one workload on its own database. */
export function singleClient(
  id: string,
  what: string,
  mode: { journalMode: JournalMode; synchronous: Synchronous },
  workload: Workload,
): Measurement {
  return {
    id,
    what,
    async start(side, bench) {
      const client = bench.client()
      await client.create(databaseOn(side, id, mode.journalMode, mode.synchronous))
      return (seconds) => client.measure(workload, seconds)
    },
  }
}

export function databaseOn(side: Side, id: string, journalMode: JournalMode, synchronous: Synchronous): DatabaseSetup {
  return { path: join(side.directory, `${id}.db`), journalMode, synchronous }
}
