import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { Cleanup } from '../harness/cleanup.ts'
import { Fixture } from './fixture.ts'
import { problems } from './report.ts'
import { Runs } from './runs.ts'
import { everyScript } from './scripts.ts'
import { runSuite } from './suite.ts'

/** The files of SQLite's own tests that say most in a short time. `npm run sqlite-suite` runs all of them. */
const SLICE = {
  'the WAL': ['wal', 'wal2', 'wal6', 'wal9', 'walro', 'walmode', 'walpersist'],
  journals: ['savepoint', 'jrnlmode', 'jrnlmode3', 'journal1', 'rollback', 'pager4'],
  locks: ['lock', 'shared', 'superlock', 'shmlock', 'exclusive2', 'unixexcl'],
  files: ['vacuum', 'incrvacuum', 'mmap1', 'backup2', 'symlink', 'syscall', 'attach', 'pragma', 'corrupt2'],
} as const

/** Only against a hang: on a quiet machine no file takes longer than some seconds. */
const LIMIT_S = 240
const GROUP_MS = 600_000

describe.skipIf(findTool('testfixture') === undefined)("SQLite's own tests", () => {
  test.each(Object.entries(SLICE))(
    'of %s give the results of a plain directory, but for what is listed',
    async (_, names) => {
      const scripts = everyScript(Fixture.build()).filter(({ name }) => (names as readonly string[]).includes(name))
      expect(scripts).toHaveLength(names.length)
      const base = mkdtempSync(join(tmpdir(), 'ltxd-sqlite-slice-'))
      const cleanup = new Cleanup()
      try {
        const outcomes = await runSuite(
          scripts,
          { base, driver: 'direct', latency: 'normal', jobs: 2, limitS: LIMIT_S, progress: () => {}, save: () => {} },
          cleanup,
        )
        expect(problems(new Runs({ driver: 'direct', latency: 'normal' }, outcomes).judged())).toEqual([])
      } finally {
        await cleanup.run()
        rmSync(base, { recursive: true, force: true })
      }
    },
    GROUP_MS,
  )
})
