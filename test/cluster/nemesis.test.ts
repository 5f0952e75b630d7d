import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { effort, HANG_MS, SEED } from '../harness/effort.ts'
import { LTXD_CLI } from '../harness/ltxd-node.ts'
import { Random } from '../harness/random.ts'
import { losses } from './acknowledgements.ts'
import { divergedTransactions } from './diverged.ts'
import { Nemesis } from './nemesis.ts'

/** ROUNDS: of some faults each, after which everything is compared. LTXD_SEED replays the choice of faults. */
const ROUNDS = effort(2, 40, 'ROUNDS')
const FAULTS = 3

const run = promisify(execFile)

test.skipIf(findTool('consul') === undefined)(
  `whatever fails, what was acknowledged is everywhere or set aside, and nobody sees what never was (ROUNDS=${ROUNDS} LTXD_SEED=${SEED})`,
  { timeout: HANG_MS + ROUNDS * 120_000 },
  async () => {
    const backup = mkdtempSync(join(tmpdir(), 'ltxd-nemesis-'))
    const nemesis = await Nemesis.start(new Random(SEED), `file://${backup}/backup`)
    const { written } = nemesis
    const { members } = written.cluster
    const struck: string[] = []
    try {
      let present = new Map<string, ReadonlySet<number>>()
      for (let round = 1; round <= ROUNDS; round++) {
        written.resume()
        const leader = await written.cluster.primary()
        await written.writesOn(leader, process.hrtime.bigint())
        for (let i = 0; i < FAULTS; i++) {
          struck.push(await nemesis.strike())
          console.log(`round ${round}: ${struck.at(-1)}`)
        }
        present = await written.quiet()
        const { losses: lost, findings } = losses(written.acknowledgements(), present)
        for (const { database, numbers } of lost) {
          const kept = divergedTransactions(members, database)
          if (kept < numbers.length) findings.push(`${database}: ${numbers.length} are lost, ${kept} are set aside`)
        }
        expect([...findings, ...nemesis.findings()]).toEqual([])
      }
      const exits = await Promise.all(members.map(({ node }) => node.stop()))
      expect(exits.map(({ code }) => code)).toEqual(members.map(() => 0))
      for (const name of written.databases) {
        const out = join(backup, 'restored.db')
        await run(process.execPath, [LTXD_CLI, 'restore', `file://${backup}/backup`, name, '-o', out])
        const { findings, numbers } = await written.lookAt(out)
        expect(findings, name).toEqual([])
        expect(new Set(numbers), `${name} from the backup`).toEqual(present.get(name))
        rmSync(out)
      }
    } catch (error) {
      throw written.explain(
        new Error(`${struck.join('\n')}\n${error instanceof Error ? error.message : String(error)}`),
      )
    } finally {
      await nemesis.stop()
      rmSync(backup, { recursive: true, force: true })
    }
  },
)
