/**
 * One suite for all drivers. Its own files run it with the direct driver, as the user who runs the tests. The files
 * driver-*.test.ts run it with the other driver, and as another user. `conforming.ts` lists the limits of each driver.
 */

import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import type { Driver } from '../../src/fuse/mount/mount.ts'
import { User } from '../harness/as-user.ts'
import { HANG_MS } from '../harness/effort.ts'
import { runLimited } from '../harness/limited.ts'
import { LTXD_CLI } from '../harness/ltxd-node.ts'
import { IS_ROOT } from './served.ts'

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
const LIMIT_MS = 3 * HANG_MS

const SUITE = ['attributes', 'directories', 'files', 'lifecycle', 'mapping', 'special-files', 'sqlite'].map(
  (name) => `test/conformance/${name}.test.ts`,
)
/** A whole node on its mount. */
const NODE = ['test/cli/mount.test.ts', 'test/conformance/node-mounts.test.ts']
export const REPLICA = ['test/cluster/replica.test.ts']

export interface DriverRun {
  readonly driver: Driver
  readonly asUser: boolean
  /** More test files that a node with this driver must pass. */
  readonly more?: readonly string[]
}

/** Runs the suite as a test run of its own. */
export function describeDriver(name: string, { driver, asUser, more = [] }: DriverRun): void {
  describe.skipIf(!IS_ROOT || findTool('fusermount3') === undefined)(name, () => {
    let user: User
    beforeAll(() => void (user = new User()))
    afterAll(() => user.remove())

    it('passes the conformance suite, and a node works on it', { timeout: LIMIT_MS }, async () => {
      expect(await run([...SUITE, ...NODE, ...more])).toMatch(/^\d{3,} passed, 0 failed/m)
    })

    function run(files: readonly string[]): Promise<string> {
      const seen = (file: string) => (asUser ? user.seen(file) : file)
      // A PATH without directories that the user may not search: a program missing from one would be "denied".
      const tools = seen(path.join(REPOSITORY, 'node_modules/.cache/tools/bin'))
      const argv = [
        ...['env', `PATH=${tools}:/usr/bin:/bin:/usr/sbin:/sbin`],
        ...[`LTXD_CLI=${seen(LTXD_CLI)}`, `LTXD_TEST_DRIVER=${driver}`],
        asUser ? user.node : process.execPath,
        ...[seen(path.join(REPOSITORY, 'node_modules/vitest/vitest.mjs')), 'run', '--project', '!unit'],
        // The other loader writes beside the configuration, where the user may not write.
        ...['--configLoader', 'runner'],
        ...files,
      ]
      const [program = '', ...args] = asUser ? user.command(argv).flat() : argv
      return runLimited(LIMIT_MS, program, args, { cwd: REPOSITORY, env: process.env })
    }
  })
}
