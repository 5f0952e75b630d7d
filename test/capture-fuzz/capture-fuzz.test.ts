/** A short run of the fuzzer of capture. `npm run capture-fuzz` runs for any time. */
import { expect, test } from 'vitest'
import { effort, form, HANG_MS, SEED } from '../harness/effort.ts'
import { Bench } from './bench.ts'
import { campaign, summary } from './campaign.ts'
import { FAULTS } from './faults.ts'
import { buildWith } from './faulty-build.ts'
import { generate } from './generate.ts'
import { render } from './program.ts'
import { applicationWith, SQLITE_VERSIONS, type SqliteVersion } from './sqlite-builds.ts'

const EPISODES = effort(45, 1700, 'EPISODES')
const VERSIONS = form<readonly SqliteVersion[]>(['system', 'package'], SQLITE_VERSIONS)
/** The short form plays programs that are known to come out alike. The long form, and the command, look for others. */
const FIRST = process.env['LTXD_SEED'] === undefined ? form(45_185_110, SEED) : SEED
/** A planted fault must be found within so many programs. */
const FOUND_WITHIN = 500

test.each(VERSIONS)(
  `random programs come out alike on the mount and in a plain directory, and in the log: SQLite %s (EPISODES=${EPISODES} LTXD_SEED=${FIRST})`,
  { timeout: HANG_MS + EPISODES * 10_000 },
  async (version) => {
    await using bench = await Bench.start({ program: await applicationWith(version) })
    const findings: string[] = []
    const result = await campaign(bench, {
      seed: FIRST,
      episodes: EPISODES,
      enough: () => findings.length > 0,
      found: (program, finding) => void findings.push(`--seed ${program.seed}: ${finding.text}\n${render(program)}`),
    })
    console.log(`SQLite ${version}: ${summary(result)}`)
    expect(findings.join('\n\n')).toBe('')
    expect(result.comparisons).toBeGreaterThan(EPISODES)
  },
)

test(`a seed makes the same program again (LTXD_SEED=${FIRST})`, () => {
  expect(render(generate(FIRST))).toBe(render(generate(FIRST)))
})

test.skipIf(form(true, false)).each(FAULTS)(
  `a planted fault is found: $name (LTXD_SEED=${FIRST})`,
  { timeout: HANG_MS + FOUND_WITHIN * 10_000 },
  async (fault) => {
    await using bench = await Bench.start({ program: await applicationWith('package'), cli: await buildWith(fault) })
    const kinds: string[] = []
    const { episodes } = await campaign(bench, {
      seed: FIRST,
      episodes: FOUND_WITHIN,
      enough: () => kinds.length > 0,
      found: (_, { kind }) => void kinds.push(kind),
    })
    console.log(`${fault.name}: found after ${episodes} programs: ${kinds.join()}`)
    expect(kinds).not.toEqual([])
  },
)
