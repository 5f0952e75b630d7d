import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { describeMachine } from '../harness/machine.ts'
import { type Contestant, contestants } from './contestants.ts'
import type { Cost } from './cost.ts'
import { type LTXLine, summarizeCosts } from './figures.ts'
import { type Fixture, FULL_SIZE, makeFixture } from './fixture.ts'
import type { LTXReport } from './report.ts'
import { type LTXRow, ratePerSecond } from './rows.ts'

export interface LTXRunOptions {
  /** A new directory for 1.6 GB. */
  readonly directory: string
  readonly rounds: number
  /** The number of cores for each process: 1 or 2. */
  readonly cores: number
  readonly progress: (text: string) => void
}

/** Runs the LTX rows. In each round all contestants take turns, so that other load affects them alike. */
export async function runLTXRows(rows: readonly LTXRow[], options: LTXRunOptions): Promise<LTXReport> {
  const { all, missing } = await contestants(options.cores, options.progress)
  const fixture = makeFixture(options.directory, FULL_SIZE, options.progress)
  const lines: LTXLine[] = []
  for (const row of rows) lines.push(await measure(row, fixture, all, options))
  return {
    takenAt: new Date().toISOString(),
    machine: describeMachine(options.directory),
    rounds: options.rounds,
    cores: options.cores,
    lines,
    missing,
  }
}

async function measure(
  row: LTXRow,
  fixture: Fixture,
  all: readonly Contestant[],
  { directory, rounds, progress }: LTXRunOptions,
): Promise<LTXLine> {
  const entered = all.filter(({ name }) => name !== 'library' || row.task === 'compress' || row.task === 'decompress')
  const costs = entered.map((): Cost[] => [])
  const out = join(directory, 'out.ltx')
  for (let round = 1; round <= rounds; round++) {
    for (const [index, contestant] of entered.entries()) {
      progress(`${row.what}: ${contestant.name}, round ${round} of ${rounds}`)
      costs[index]!.push(await contestant.run(row.task, row.args(fixture, out)))
      rmSync(out, { force: true })
    }
  }
  const figures = entered.map(({ name }, index) => {
    return [name, summarizeCosts(costs[index]!, (cost) => ratePerSecond(row, fixture, cost))] as const
  })
  return { name: row.name, figures: Object.fromEntries(figures) }
}
