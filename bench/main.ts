import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { Cleanup } from '../test/harness/cleanup.ts'
import { mountsBelow } from '../test/harness/mounts.ts'
import { COST, renderCost } from './cost/report.ts'
import { runCost } from './cost/run.ts'
import { Bench } from './harness/bench.ts'
import { renderComparison } from './harness/compare.ts'
import type { Line } from './harness/figures.ts'
import { describeMachine } from './harness/machine.ts'
import { renderReport, type Report } from './harness/report.ts'
import type { Row } from './harness/row.ts'
import { renderLTXReport } from './ltx/report.ts'
import { LTX_ROWS, type LTXRow } from './ltx/rows.ts'
import { runLTXRows } from './ltx/run.ts'
import { CLUSTER, CLUSTER_ROWS, LTX, ROWS } from './rows.ts'

interface Options {
  readonly json?: string
  readonly compare?: string
  readonly seconds: number
  readonly rounds: number
  readonly dir: string
  readonly backup: boolean
  readonly oneCore: boolean
  readonly plainFiles: boolean
  readonly latency: 'normal' | 'low'
  readonly megabytes: number
  readonly cores: number
  readonly minutes: number
}

const NODE_ROWS = [...ROWS, ...CLUSTER_ROWS]
const NAMES = [...NODE_ROWS, ...LTX_ROWS].map((row) => row.name)

const program = new Command('bench')
  .description('Native SQLite and SQLite on an ltxd mount, side by side in one run.')
  .argument(
    '[row...]',
    `rows to run: ${NAMES.join(', ')}; ${CLUSTER}: all rows of a primary and its replicas; ` +
      `${LTX}: all rows of LTX files, beside superfly/ltx; ` +
      `${COST}: requests to the store, beside Litestream (default: the rows of one node)`,
  )
  .option('--json <file>', 'save the figures')
  .option('--compare <file>', 'print the changes since the figures that --json saved')
  .option('--seconds <n>', 'length of each measurement', positive, 1)
  .option('--rounds <n>', 'number of measurements of each side; the median counts', positive, 5)
  .option('--dir <directory>', 'working directory; not a tmpfs, whose fsync does nothing', '/var/tmp')
  .option('--backup', 'let the node back up to a directory meanwhile', false)
  .option('--one-core', 'bind clients and node to one core', false)
  .option('--plain-files', 'treat no file as a database, to measure the cost of the mount alone', false)
  .addOption(new Option('--latency <policy>', "the node's fuse.latency").choices(['normal', 'low']).default('normal'))
  .option(
    '--megabytes <n>',
    'size of the database of new-replica and memory, and of the large one of commit-by-size',
    positive,
    200,
  )
  .option('--cores <n>', 'cores for each process of the ltx rows: 1 or 2', oneOrTwo, 1)
  .option('--minutes <n>', `how long ${COST} counts`, positive, 10)
  .exitOverride()

process.exitCode = await main()

async function main(): Promise<number> {
  try {
    program.parse()
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    throw error
  }
  const options = program.opts<Options>()
  const unknown = program.args.filter((name) => ![CLUSTER, LTX, COST, ...NAMES].includes(name))
  if (unknown.length > 0) {
    console.error(
      `unknown row ${unknown.join(', ')}: expected ${CLUSTER}, ${LTX}, ${COST}, or some of ${NAMES.join(', ')}`,
    )
    return 2
  }
  if (program.args.includes(COST)) {
    if (program.args.length === 1) return runCosts(options)
    console.error(`${COST} has a table of its own: run it separately`)
    return 2
  }
  const ltxRows = LTX_ROWS.filter(({ name }) => program.args.includes(LTX) || program.args.includes(name))
  const names = program.args.filter((name) => name !== LTX && !ltxRows.some((row) => row.name === name))
  if (ltxRows.length > 0 && names.length > 0) {
    console.error(`the rows of ${LTX} have a table of their own: run ${names.join(', ')} separately`)
    return 2
  }
  if (ltxRows.length > 0) return runLTX(ltxRows, options)
  return run(program.args, options)
}

async function runLTX(rows: readonly LTXRow[], options: Options): Promise<number> {
  if (options.compare !== undefined) {
    console.error(`--compare is not for the rows of ${LTX}: what they are compared with runs beside them`)
    return 2
  }
  return inDirectory(options, async (base) => {
    const report = await runLTXRows(rows, { directory: base, rounds: options.rounds, cores: options.cores, progress })
    progress('')
    console.log(renderLTXReport(report))
    save(report, options)
  })
}

async function runCosts(options: Options): Promise<number> {
  const { minutes } = options
  return inDirectory(options, async (base, cleanup) => {
    const lines = await runCost({ base, minutes, progress }, cleanup)
    progress('')
    console.log(renderCost(lines, minutes))
    save({ takenAt: new Date().toISOString(), minutes, lines }, options)
  })
}

async function run(names: readonly string[], options: Options): Promise<number> {
  const before =
    options.compare === undefined ? undefined : (JSON.parse(readFileSync(options.compare, 'utf8')) as Report)
  return inDirectory(options, async (base, cleanup) => {
    const bench = new Bench(
      {
        base,
        rounds: options.rounds,
        seconds: options.seconds,
        withBackup: options.backup,
        oneCore: options.oneCore,
        plainFiles: options.plainFiles,
        latency: options.latency,
        megabytes: options.megabytes,
        progress,
      },
      cleanup,
    )
    const lines: Line[] = []
    for (const row of chosen(names)) lines.push(...(await row.run(bench)))
    const report: Report = {
      takenAt: new Date().toISOString(),
      machine: describeMachine(base),
      rounds: options.rounds,
      seconds: options.seconds,
      withBackup: options.backup,
      oneCore: options.oneCore,
      plainFiles: options.plainFiles,
      latency: options.latency,
      lines,
    }
    progress('')
    console.log(renderReport(report))
    if (before !== undefined) console.log(`\n${renderComparison(before, report)}`)
    save(report, options)
  })
}

function save(report: object, { json }: Options): void {
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(report, undefined, 2)}\n`)
}

/** Works in a new directory, and removes it. Returns the exit code. */
async function inDirectory(options: Options, work: (base: string, cleanup: Cleanup) => Promise<void>): Promise<number> {
  const cleanup = new Cleanup()
  cleanup.onSignals((signal) => console.error(`\n${signal}: cleaning up`))
  const base = mkdtempSync(join(realpathSync(options.dir), 'ltxd-bench-'))
  cleanup.defer(`remove ${base}`, () => removeTree(base))
  try {
    await work(base, cleanup)
    return 0
  } catch (error) {
    progress('')
    if (!cleanup.interrupted) console.error(error instanceof Error ? error.message : error)
    return 1
  } finally {
    await cleanup.run()
  }
}

function chosen(names: readonly string[]): Row[] {
  if (names.length === 0) return [...ROWS]
  const named = NODE_ROWS.filter((row) => names.includes(row.name))
  return names.includes(CLUSTER) ? [...new Set([...named, ...CLUSTER_ROWS])] : named
}

/** Shows progress on a line that is overwritten, only on a terminal. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}

/** Removes a tree without mounts. Descending into a mount would delete through a node. */
function removeTree(directory: string): void {
  const mounts = mountsBelow(directory)
  if (mounts.length > 0) throw new Error(`still mounted: ${mounts.join(', ')}`)
  rmSync(directory, { recursive: true, force: true })
}

function oneOrTwo(text: string): number {
  if (text !== '1' && text !== '2') throw new InvalidArgumentError('expected 1 or 2')
  return Number(text)
}

function positive(text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new InvalidArgumentError('expected a number above 0')
  return value
}
