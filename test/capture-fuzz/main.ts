/** `npm run capture-fuzz`: random programs on the mount and in a plain directory, which must come out alike. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { Cleanup } from '../harness/cleanup.ts'
import { Bench } from './bench.ts'
import { campaign, summary } from './campaign.ts'
import { Episode } from './episode.ts'
import { type Program, render } from './program.ts'
import { shrink } from './shrink.ts'
import { applicationWith, SQLITE_VERSIONS, type SqliteVersion } from './sqlite-builds.ts'

interface Options {
  readonly episodes: number
  readonly seed: number
  readonly sqlite: SqliteVersion
  readonly minutes: number
  readonly driver?: string
  readonly latency?: string
  readonly shrink: number
  readonly replay?: string
  readonly save: string
}

const program = new Command('capture-fuzz')
  .description(
    'Random programs of SQL and file operations, on the mount and in a plain directory, which must come out alike.',
  )
  .option('--episodes <n>', 'how many programs', whole, 1000)
  .option('--seed <n>', 'of the first program; each has the next one', whole, Math.floor(Math.random() * 2 ** 31))
  .addOption(new Option('--sqlite <version>', 'the applications’ SQLite').choices(SQLITE_VERSIONS).default('system'))
  .option('--minutes <n>', 'end after this time', whole, 1e6)
  .option('--driver <driver>', 'of FUSE: direct or fuse-native')
  .option('--latency <latency>', 'fuse.latency of the node: normal or low')
  .option('--shrink <n>', 'how many findings that look alike are made shorter', whole, 1)
  .option('--replay <file>', 'play one program, as a run has saved it')
  .option('--save <directory>', 'where findings go', join('node_modules', '.cache', 'capture-fuzz', 'findings'))
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
  const { sqlite, driver, latency } = options
  const cleanup = new Cleanup()
  cleanup.onSignals((signal) => console.error(`${signal}: cleaning up`))
  try {
    const bench = await Bench.start({
      program: await applicationWith(sqlite),
      ...(driver === undefined ? {} : { driver }),
      ...(latency === undefined ? {} : { latency }),
    })
    cleanup.defer('the node', () => bench[Symbol.asyncDispose]())
    return options.replay === undefined ? await run(bench, options) : await replay(bench, options.replay)
  } finally {
    await cleanup.run()
  }
}

async function run(bench: Bench, { episodes, seed, minutes, sqlite, save, shrink: shrunk }: Options): Promise<number> {
  console.log(`${episodes} programs, --sqlite ${sqlite} --seed ${seed}`)
  mkdirSync(save, { recursive: true })
  const seen = new Map<string, number>()
  const until = performance.now() + minutes * 60_000
  const result = await campaign(bench, {
    seed,
    episodes,
    enough: () => performance.now() > until,
    progress: (line) => console.log(line),
    async found(found, finding) {
      console.log(`--seed ${found.seed}: ${finding.text}`)
      const times = (seen.get(finding.signature) ?? 0) + 1
      seen.set(finding.signature, times)
      if (times > shrunk) return
      const shorter = await shrink(bench, found, finding)
      const path = join(save, `${sqlite}-${found.seed}.json`)
      writeFileSync(path, JSON.stringify(shorter.program, null, 1))
      console.log(
        `${path}, ${shorter.program.steps.length} steps:\n${render(shorter.program)}\n${shorter.finding.text}\n`,
      )
    },
  })
  console.log(summary(result))
  return result.findings === 0 ? 0 : 1
}

async function replay(bench: Bench, path: string): Promise<number> {
  const found = JSON.parse(readFileSync(path, 'utf8')) as Program
  console.log(render(found))
  const { finding, ended } = await Episode.play(bench, found, 'replay')
  console.log(finding?.text ?? (ended === undefined ? 'no difference' : `ended: ${ended.name}`))
  console.log(bench.newLines().join('\n'))
  return finding === undefined ? 0 : 1
}

function whole(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('expected a whole number')
  return Number(text)
}
