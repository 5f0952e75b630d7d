import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { JournalMode } from './application.ts'
import { runKills } from './kills.ts'
import { checkFiles, checkLogs } from './log-check.ts'

/** KILLS: how often, in WAL and DELETE mode; SEED: the run to replay. */
const KILLS = Number(process.env['KILLS'] ?? 20)
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))

const RUNS: readonly { journalModes: readonly JournalMode[]; kills: number }[] = [
  { journalModes: ['WAL', 'DELETE'], kills: KILLS },
  { journalModes: ['TRUNCATE', 'PERSIST'], kills: Math.ceil(KILLS / 4) },
]

for (const { journalModes, kills } of RUNS) {
  const modes = journalModes.join(' and ')
  test(
    `kill -9 of the daemon takes back no acknowledged commit, ${modes} (KILLS=${KILLS} SEED=${SEED})`,
    { timeout: 60_000 + kills * 15_000 },
    async () => {
      const base = mkdtempSync(join(realpathSync(tmpdir()), 'ltxd-kills-'))
      const hooks = { whileDown: checkLogs, afterStop: (data: string) => [...checkLogs(data), ...checkFiles(data)] }
      const report = await runKills({ base, kills, seed: SEED, journalModes, hooks, tell: console.log })
      console.log(`${modes}: ${report.kills} kills, ${report.acknowledged} acknowledged commits, none lost`)
      expect(report.kills).toBe(kills)
      // Only after success: what failed is kept to be looked at, and its error names the place.
      rmSync(base, { recursive: true, force: true })
    },
  )
}
