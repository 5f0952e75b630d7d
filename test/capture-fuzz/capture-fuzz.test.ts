/** A short run of the fuzzer of capture. `npm run capture-fuzz` runs for any time. */
import { expect, test } from 'vitest'
import { effort, form, HANG_MS, SEED } from '../harness/effort.ts'
import { Bench } from './bench.ts'
import { campaign, summary } from './campaign.ts'
import { FAULTS } from './faults.ts'
import { buildWith } from './faulty-build.ts'
import type { Finding } from './finding.ts'
import { generate } from './generate.ts'
import { render } from './program.ts'
import { applicationWith, SQLITE_VERSIONS, type SqliteVersion } from './sqlite-builds.ts'

const EPISODES = effort(45, 1700, 'EPISODES')
const VERSIONS = form<readonly SqliteVersion[]>(['system', 'package'], SQLITE_VERSIONS)
/** A planted fault must be found within so many programs. */
const FOUND_WITHIN = 500

test.each(VERSIONS)(
  `random programs come out alike on the mount and in a plain directory, and in the log: SQLite %s (EPISODES=${EPISODES} LTXD_SEED=${SEED})`,
  { timeout: HANG_MS + EPISODES * 10_000 },
  async (version) => {
    await using bench = await Bench.start({ program: await applicationWith(version) })
    const findings: string[] = []
    const result = await campaign(bench, {
      seed: SEED,
      episodes: EPISODES,
      enough: () => findings.length > 0,
      found: (program, finding) => void findings.push(`--seed ${program.seed}: ${finding.text}\n${render(program)}`),
    })
    console.log(`SQLite ${version}: ${summary(result)}`)
    expect(findings.join('\n\n')).toBe('')
    expect(result.comparisons).toBeGreaterThan(EPISODES)
  },
)

test(`a seed makes the same program again (LTXD_SEED=${SEED})`, () => {
  expect(render(generate(SEED))).toBe(render(generate(SEED)))
})

test.skipIf(form(true, false)).each(FAULTS)(
  `a planted fault is found, and without it the same programs come out alike: $name (LTXD_SEED=${SEED})`,
  { timeout: HANG_MS + 2 * FOUND_WITHIN * 10_000 },
  async (fault) => {
    const { name, foundAs } = fault
    const program = await applicationWith('package')
    const play = async (episodes: number, cli?: string) => {
      await using bench = await Bench.start({ program, ...(cli === undefined ? {} : { cli }) })
      const found: Finding[] = []
      const enough = () => found.length > 0
      const result = await campaign(bench, { seed: SEED, episodes, enough, found: (_, it) => void found.push(it) })
      return { found, episodes: result.episodes }
    }
    const faulty = await play(FOUND_WITHIN, await buildWith(fault))
    console.log(`${name}: found after ${faulty.episodes} programs: ${faulty.found.map(({ kind }) => kind).join()}`)
    expect(foundAs).toContain(faulty.found[0]?.kind)
    const control = await play(faulty.episodes)
    expect(control.found.map(({ text }) => text)).toEqual([])
  },
)
