/**
 * One suite for all drivers. The others run it as root, or whoever runs this, with the direct driver; this one with
 * each other driver, and as each other user. What a driver cannot keep, `conforming.ts` names.
 */

import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { User } from '../harness/as-user.ts'
import { runLimited } from '../harness/limited.ts'
import { LTXD_CLI } from '../harness/ltxd-node.ts'
import { IS_ROOT } from './served.ts'

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
const LIMIT_MS = 900_000

const SUITE = ['attributes', 'directories', 'files', 'lifecycle', 'mapping', 'special-files', 'sqlite'].map(
  (name) => `test/conformance/${name}.test.ts`,
)
/** What a node is on its mount. */
const NODE = ['test/cli/mount.test.ts', 'test/conformance/node-mounts.test.ts']
const REPLICA = ['test/cluster/replica.test.ts']

const DRIVERS = [
  { name: 'direct, which is fusermount3, as a user', driver: 'direct', asUser: true, node: [...NODE, ...REPLICA] },
  { name: 'fuse-native as root', driver: 'fuse-native', asUser: false, node: NODE },
  { name: 'fuse-native as a user', driver: 'fuse-native', asUser: true, node: NODE },
]

describe.skipIf(!IS_ROOT || findTool('fusermount3') === undefined).each(DRIVERS)(
  '$name',
  ({ driver, asUser, node }) => {
    let user: User
    beforeAll(() => void (user = new User()))
    afterAll(() => user.remove())

    it('passes the conformance suite', { timeout: LIMIT_MS }, async () => {
      expect(await passed(SUITE)).toMatch(/^\d{2,} passed, 0 failed/m)
    })

    it('carries a node', { timeout: LIMIT_MS }, async () => {
      expect(await passed(node)).toMatch(/^\d{2,} passed, 0 failed/m)
    })

    function passed(files: readonly string[]): Promise<string> {
      const seen = (file: string) => (asUser ? user.seen(file) : file)
      // without directories that the user may not look into: what is not found in one of those is "denied", not
      // "missing"
      const searchPath = `${seen(path.join(REPOSITORY, 'node_modules/.cache/tools/bin'))}:/usr/bin:/bin:/usr/sbin:/sbin`
      const argv = [
        ...['env', `PATH=${searchPath}`, `LTXD_CLI=${seen(LTXD_CLI)}`, `LTXD_TEST_DRIVER=${driver}`],
        asUser ? user.node : process.execPath,
        ...[seen(path.join(REPOSITORY, 'node_modules/vitest/vitest.mjs')), 'run', '--project', '!unit'],
        // the other loader writes beside the configuration, which is not the user's
        ...['--configLoader', 'runner'],
        ...files,
      ]
      const [program = '', ...args] = asUser ? user.command(argv).flat() : argv
      return runLimited(LIMIT_MS, program, args, { cwd: REPOSITORY, env: process.env })
    }
  },
)
