/** `npm run fuzz`: gives mutated files to ltxd's decoder and to superfly/ltx 0.5.3, which must agree. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { campaign, type CampaignResult } from './campaign.ts'
import { DIFFERENCES } from './differences.ts'
import { Reference } from './reference/process.ts'

interface Options {
  readonly files: number
  readonly seed: number
  readonly save: string
}

const PROGRESS_EVERY_MS = 5000

const program = new Command('fuzz')
  .description(
    'Mutated LTX files, read by ltxd and by superfly/ltx 0.5.3: both accept, or both reject, or the difference is listed.',
  )
  .option('--files <n>', 'how many', whole, 1_000_000)
  .option('--seed <n>', 'what a run printed, to have the same files again', whole, Math.floor(Math.random() * 2 ** 32))
  .option('--save <directory>', 'where to put files that were taken badly', join('node_modules', '.cache', 'fuzz'))
  .exitOverride()

process.exitCode = await main()

async function main(): Promise<number> {
  try {
    program.parse()
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    throw error
  }
  const { files, seed, save } = program.opts<Options>()
  console.log(`${files} files, --seed ${seed}`)
  const reference = await Reference.start()
  const start = performance.now()
  let next = start + PROGRESS_EVERY_MS
  mkdirSync(save, { recursive: true })
  let saved = 0
  const result = await campaign(reference, {
    seed,
    files,
    found({ problem, file }) {
      const path = join(save, `${seed}-${saved++}.ltx`)
      writeFileSync(path, file)
      console.log(`${path}: ${problem}`)
    },
    progress(state) {
      if (performance.now() < next) return
      next += PROGRESS_EVERY_MS
      const seconds = (performance.now() - start) / 1000
      console.log(
        `${state.files} files, ${Math.round(state.files / seconds)} a second, ${state.findings.length} findings, ${megabytes(heldBytes())} held`,
      )
    },
  })
  await reference.stop()
  console.log(summary(result, (performance.now() - start) / 1000))
  return result.findings.length === 0 ? 0 : 1
}

function summary(result: CampaignResult, seconds: number): string {
  const row = (n: number, text: string) => `${String(n).padStart(10)}  ${text}`
  const fields = [...result.fields].sort(([, a], [, b]) => b - a)
  return [
    row(result.files, `files in ${seconds.toFixed(0)} s, ${Math.round(result.files / seconds)} a second`),
    row(result.accepted, 'accepted by both, and read alike'),
    row(result.rejected, 'rejected by ltxd, because of'),
    ...fields.map(([field, n]) => row(n, `  ${field}`)),
    row(sum(result.differences.values()), 'of these accepted by superfly/ltx, as listed:'),
    ...DIFFERENCES.map(({ name }) => row(result.differences.get(name) ?? 0, `  ${name}`)),
    row(result.findings.length, 'disagreements, crashes, hangs'),
    `the most that a decoder allocated: ${(100 * result.largestPartOfBound).toFixed(0)} % of its bound; the slowest file took ${result.slowestMs.toFixed(1)} ms`,
  ].join('\n')
}

/** The memory in use, which must not grow with the number of files. Needs --expose-gc. */
function heldBytes(): number {
  globalThis.gc?.()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

function sum(numbers: Iterable<number>): number {
  return [...numbers].reduce((total, n) => total + n, 0)
}

function whole(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('expected a whole number')
  return Number(text)
}
