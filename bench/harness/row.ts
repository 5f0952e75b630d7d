import { join } from 'node:path'
import type { Bench, Measurement, Side } from './bench.ts'
import type { Line } from './figures.ts'
import type { DatabaseSetup, JournalMode, Synchronous, Workload } from './workload.ts'

/** One row of the table of goals: its name on the command line, and the lines it prints. */
export interface Row {
  readonly name: string
  run(bench: Bench): Promise<Line[]>
}

/** A row whose lines are measured on a native directory and on a mount, in one run. */
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

/** One client, one workload, on a database of its own. */
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
