import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { effort, HANG_MS, SEED } from '../harness/effort.ts'
import type { Usage } from './application.ts'
import { runKills } from './kills.ts'
import { checkFiles, checkLogs } from './log-check.ts'

/** KILLS: the number of kills. LTXD_SEED replays a run. */
const KILLS = effort(6, 100, 'KILLS')
/** Start with new databases after so many kills, because the checks of larger ones take longer. */
const KILLS_A_ROUND = 50

/** All modes at once, a database with two writers, small and large pages, with and without a `-shm`. */
const USAGES: readonly Usage[] = [
  { mode: 'WAL', synchronous: 'NORMAL', pageSize: 4096, writers: 2 },
  { mode: 'WAL', synchronous: 'FULL', pageSize: 1024 },
  { mode: 'WAL', synchronous: 'NORMAL', pageSize: 8192, exclusive: true },
  { mode: 'DELETE', synchronous: 'FULL', pageSize: 4096, writers: 2 },
  { mode: 'TRUNCATE', synchronous: 'FULL', pageSize: 65536 },
  { mode: 'PERSIST', synchronous: 'FULL', pageSize: 512 },
  { mode: 'PERSIST', synchronous: 'NORMAL', pageSize: 4096, exclusive: true },
]

for (let round = 0; round * KILLS_A_ROUND < KILLS; round++) {
  const kills = Math.min(KILLS_A_ROUND, KILLS - round * KILLS_A_ROUND)
  const seed = SEED + round
  test(
    `kill -9 of the daemon takes back no acknowledged commit in any mode (KILLS=${kills} LTXD_SEED=${seed})`,
    { timeout: HANG_MS + kills * 60_000 },
    async () => {
      const base = mkdtempSync(join(realpathSync(tmpdir()), 'ltxd-kills-'))
      const hooks = { whileDown: checkLogs, afterStop: (data: string) => [...checkLogs(data), ...checkFiles(data)] }
      const report = await runKills({ base, kills, seed, usages: USAGES, hooks, tell: console.log })
      console.log(`${report.kills} kills, ${report.acknowledged} acknowledged commits, none lost (LTXD_SEED=${seed})`)
      expect(report.kills).toBe(kills)
      // After a failure the directory stays, and the error names it.
      rmSync(base, { recursive: true, force: true })
    },
  )
}
