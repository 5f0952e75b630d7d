import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runKills } from './kills.ts'

/** KILLS: how often; SEED: the run to replay. */
const kills = Number(process.env['KILLS'] ?? 20)
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))

test(
  `kill -9 of the daemon takes back no acknowledged commit, in WAL and in DELETE mode (KILLS=${kills} SEED=${seed})`,
  { timeout: 60_000 + kills * 15_000 },
  async () => {
    const base = mkdtempSync(join(realpathSync(tmpdir()), 'ltxd-kills-'))
    const report = await runKills({ base, kills, seed, tell: console.log })
    console.log(`${report.kills} kills, ${report.acknowledged} acknowledged commits, none lost`)
    expect(report.kills).toBe(kills)
    // Only after success: what failed is kept to be looked at, and its error names the place.
    rmSync(base, { recursive: true, force: true })
  },
)
