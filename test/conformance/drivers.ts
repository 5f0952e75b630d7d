/**
 * One suite for all drivers. Its files run it as root, or whoever runs this, with the direct driver; driver-*.test.ts
 * run it with each other driver, and as each other user. What a driver cannot do, `conforming.ts` names.
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
/** What a node is on its mount. */
const NODE = ['test/cli/mount.test.ts', 'test/conformance/node-mounts.test.ts']
export const REPLICA = ['test/cluster/replica.test.ts']

export interface DriverRun {
  readonly driver: Driver
  readonly asUser: boolean
  /** Further test files that a node with this driver passes. */
  readonly more?: readonly string[]
}

/** Runs the suite as a test run of its own. */
export function describeDriver(name: string, { driver, asUser, more = [] }: DriverRun): void {
  describe.skipIf(!IS_ROOT || findTool('fusermount3') === undefined)(name, () => {
    let user: User
    beforeAll(() => void (user = new User()))
    afterAll(() => user.remove())

    it('passes the conformance suite, and carries a node', { timeout: LIMIT_MS }, async () => {
      expect(await run([...SUITE, ...NODE, ...more])).toMatch(/^\d{3,} passed, 0 failed/m)
    })

    function run(files: readonly string[]): Promise<string> {
      const seen = (file: string) => (asUser ? user.seen(file) : file)
      // Without directories that the user may not look into: what is not found there is "denied", not "missing".
      const tools = seen(path.join(REPOSITORY, 'node_modules/.cache/tools/bin'))
      const argv = [
        ...['env', `PATH=${tools}:/usr/bin:/bin:/usr/sbin:/sbin`],
        ...[`LTXD_CLI=${seen(LTXD_CLI)}`, `LTXD_TEST_DRIVER=${driver}`],
        asUser ? user.node : process.execPath,
        ...[seen(path.join(REPOSITORY, 'node_modules/vitest/vitest.mjs')), 'run', '--project', '!unit'],
        // The other loader writes beside the configuration, which is not the user's.
        ...['--configLoader', 'runner'],
        ...files,
      ]
      const [program = '', ...args] = asUser ? user.command(argv).flat() : argv
      return runLimited(LIMIT_MS, program, args, { cwd: REPOSITORY, env: process.env })
    }
  })
}
