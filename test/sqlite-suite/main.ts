/** `npm run sqlite-suite`: SQLite's own tests, on a plain directory and on the mount. */
import { appendFileSync, existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { Cleanup } from '../harness/cleanup.ts'
import { mountsBelow } from '../harness/mounts.ts'
import { Fixture } from './fixture.ts'
import type { NodeSettings } from './mount-side.ts'
import { Progress } from './progress.ts'
import { notes, page, problems, summary } from './report.ts'
import { Runs } from './runs.ts'
import { everyScript, type Script, wholeSuite } from './scripts.ts'
import { type Outcome, runSuite } from './suite.ts'
import { MANY_RUNS, matches } from './verdict.ts'

interface Options extends NodeSettings {
  readonly jobs: number
  readonly timeout: number
  readonly runs: number
  readonly dir: string
  readonly keep: boolean
  readonly all: boolean
  readonly list: boolean
  readonly resume?: string
  readonly reportOnly: boolean
}

const PAGE = 'docs/sqlite-suite.md'

const program = new Command('sqlite-suite')
  .description(
    "SQLite's own tests on a plain directory and on the mount, compared check by check. " +
      `A whole run writes ${PAGE}. Exit code 1 if there is a difference that test/sqlite-suite/expected.ts does not ` +
      `list, or if one that it lists no longer occurs. What depends on timing may be missing from fewer than ${MANY_RUNS} runs.`,
  )
  .argument('[file...]', 'files to run, without ".test", as patterns with *: wal*, mptest/*, threadtest3/vacuum1')
  .addOption(
    new Option('--driver <name>', "the node's fuse.driver").choices(['direct', 'fuse-native']).default('direct'),
  )
  .addOption(new Option('--latency <policy>', "the node's fuse.latency").choices(['normal', 'low']).default('normal'))
  .option('--all', 'all files: also those that otherwise run only when they are named, because of their time', false)
  .option('--jobs <n>', 'files that run at once, each kind with a node of its own', positive, 2)
  .option('--runs <n>', 'how often each file runs', positive, 1)
  .option('--timeout <seconds>', 'the time for a file on each side', positive, 600)
  .option('--dir <directory>', 'working directory', tmpdir())
  .option('--keep', 'keep all output, logs and databases', false)
  .option('--resume <file>', 'keep the results in this file as they come, and take those that are there already')
  .option('--report-only', `write ${PAGE} from the results that --resume has, and run nothing`, false)
  .option('--list', 'print the names of the files, and run nothing', false)
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
  const fixture = Fixture.build()
  const scripts = chosen(fixture, program.args, options.all)
  if (scripts.length === 0) {
    console.error(`no file is named ${program.args.join(', ')}: --list prints the names`)
    return 2
  }
  if (options.list) {
    console.log(scripts.map(({ name }) => name).join('\n'))
    return 0
  }
  return inDirectory(options, (base, cleanup) => run(fixture, scripts, base, options, cleanup))
}

function chosen(fixture: Fixture, patterns: readonly string[], all: boolean): Script[] {
  if (patterns.length === 0) return wholeSuite(fixture, all)
  return everyScript(fixture).filter(({ name }) => patterns.some((pattern) => matches(pattern, name)))
}

async function run(
  fixture: Fixture,
  scripts: readonly Script[],
  base: string,
  options: Options,
  cleanup: Cleanup,
): Promise<number> {
  const { driver, latency, resume, reportOnly, runs: times } = options
  const runs = new Runs(options, resume === undefined ? [] : readOutcomes(resume))
  for (let run = 1; run <= times && !reportOnly; run++) {
    const left = scripts.filter(({ name }) => runs.count(name) < run)
    await runScripts(left, runs, base, options, cleanup)
  }
  const judged = runs.judged()
  const conditions = { sqlite: fixture.version, driver, latency, scripts: scripts.map(({ name }) => name) }
  const wrong = problems(judged)
  for (const line of [...wrong, ...notes(judged)]) console.log(line)
  console.log(summary(judged, conditions))
  if (program.args.length === 0 && driver === 'direct' && latency === 'normal')
    writeFileSync(PAGE, page(judged, conditions))
  if (wrong.length > 0) console.log(`${wrong.length} not as expected`)
  return wrong.length === 0 ? 0 : 1
}

async function runScripts(
  scripts: readonly Script[],
  runs: Runs,
  base: string,
  { driver, latency, jobs, timeout, resume }: Options,
  cleanup: Cleanup,
): Promise<void> {
  const bar = new Progress(scripts.length)
  const progress = (outcome: Outcome) => bar.done(outcome)
  const save = (outcomes: readonly Outcome[]) => {
    runs.add(outcomes)
    if (resume !== undefined) appendOutcomes(resume, outcomes)
  }
  await runSuite(scripts, { base, driver, latency, jobs, limitS: timeout, progress, save }, cleanup)
  bar.clear()
}

/** Works in a new directory, and removes it. Returns the exit code. */
async function inDirectory(
  options: Options,
  work: (base: string, cleanup: Cleanup) => Promise<number>,
): Promise<number> {
  const cleanup = new Cleanup()
  cleanup.onSignals((signal) => console.error(`\n${signal}: cleaning up`))
  const base = mkdtempSync(join(realpathSync(options.dir), 'ltxd-sqlite-suite-'))
  cleanup.defer(`remove ${base}`, () => (options.keep ? console.log(`kept: ${base}`) : removeTree(base)))
  try {
    return await work(base, cleanup)
  } catch (error) {
    if (cleanup.interrupted) return 1
    throw error
  } finally {
    await cleanup.run()
  }
}

/** Removes a tree without mounts. Descending into a mount would delete through a node. */
function removeTree(directory: string): void {
  const mounts = mountsBelow(directory)
  if (mounts.length > 0) throw new Error(`still mounted: ${mounts.join(', ')}`)
  rmSync(directory, { recursive: true, force: true })
}

function readOutcomes(file: string): Outcome[] {
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Outcome)
}

function appendOutcomes(file: string, outcomes: readonly Outcome[]): void {
  appendFileSync(file, outcomes.map((outcome) => `${JSON.stringify(outcome)}\n`).join(''))
}

function positive(text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new InvalidArgumentError('expected a number above 0')
  return value
}
