import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { type Permissions, User } from '../harness/as-user.ts'
import { LTXD_CLI } from '../harness/ltxd-node.ts'
import { attempt, IS_ROOT, type Outcome } from './served.ts'

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))

describe.skipIf(!IS_ROOT || findTool('fusermount3') === undefined)('without root, through fusermount3', () => {
  let user: User
  let cli: string
  /** A PATH without directories that the user may not search. A program missing from such a directory is "denied". */
  let searchPath: string
  beforeAll(() => {
    user = new User()
    cli = user.seen(LTXD_CLI)
    searchPath = `PATH=${user.seen(path.join(REPOSITORY, 'node_modules/.cache/tools/bin'))}:/usr/bin:/bin:/usr/sbin:/sbin`
  })
  afterAll(() => user.remove())

  describe('allow-other, where /etc/fuse.conf permits it', () => {
    it('lets other users do what the files’ permissions allow, but create no files', async () => {
      const { stdout, stderr } = await node(
        `cd "$LTXD_MOUNT"; echo public > public; echo private > private; chmod 600 private; chmod 777 .
         findmnt -no OPTIONS "$LTXD_MOUNT"; touch ../ready; until [ -e ../done ]; do sleep 0.1; done`,
        { fuseConf: 'user_allow_other' },
        `until [ -e ready ]; do sleep 0.1; done
         as_other() { setpriv --reuid=12345 --regid=12345 --clear-groups sh -c "$1" 2>&1 || true; }
         as_other 'cat mnt/public'; as_other 'cat mnt/private'; as_other 'echo > mnt/new'; ls mnt; touch done`,
      )
      expect(stderr).toBe('')
      expect(stdout).toMatch(/allow_other/)
      expect(stdout).toMatch(
        /^public\n.*private: Permission denied\n.*new: Operation not permitted\nprivate\npublic\n/m,
      )
    })

    /** Runs a node as the user, with a script as its application, and a script of root's beside it. */
    function node(application: string, permissions: Permissions, beside: string): Promise<Outcome> {
      const directory = fresh()
      const ltxd = `'${user.node}' '${cli}' mount mnt --data data --http 127.0.0.1:0 --log-level error --allow-other`
      const asUser = `setpriv --reuid=${user.uid} --regid=${user.uid} --clear-groups`
      const script = `cd '${directory}'; ${asUser} ${ltxd} -- sh -euc "$0" & ${beside}; wait $!`
      // The script changes the user by itself, so that root's script shares the namespace.
      return attempt(...user.command(['sh', '-euc', script, application], { ...permissions, as: 'root' }))
    }
  })

  describe('is rejected with advice', () => {
    const refused = async (permissions: Permissions, mountPoint: string, ...options: string[]) => {
      const ltxd = ['mount', mountPoint, '--data', path.join(fresh(), 'data'), '--http', '127.0.0.1:0', ...options]
      const [program, args] = user.command(['env', searchPath, user.node, cli, ...ltxd], permissions)
      const { code, stderr } = await attempt(program, args)
      expect(code).toBe(1)
      expect(stderr).not.toMatch(/^ {4}at /m)
      return stderr
    }

    it('if only root may open /dev/fuse', async () => {
      const said = await refused({ deviceMode: '600' }, path.join(fresh(), 'mnt'))
      expect(said).toMatch(/ltxd: the user .* may not open \/dev\/fuse; as root, run: chmod 666 \/dev\/fuse/)
    })

    it('on a directory of another user', async () => {
      const foreign = path.join(user.home, 'foreign')
      mkdirSync(foreign)
      expect(await refused({}, foreign)).toMatch(/ltxd: the user .* may not mount at .*foreign: .*chown \d+ '/)
    })

    it('with --allow-other, if /etc/fuse.conf does not permit it', async () => {
      const said = await refused({}, path.join(fresh(), 'mnt'), '--allow-other')
      expect(said).toMatch(/ltxd: fuse.allow-other is set.*"user_allow_other" into \/etc\/fuse.conf/)
    })

    it('without the native module that receives the device', async () => {
      const said = await refused({ without: 'node_modules/koffi' }, path.join(fresh(), 'mnt'))
      expect(said).toMatch(/ltxd: mounting without root needs the native module koffi, .* or run ltxd as root/)
    })

    it('through libfuse, without its package', async () => {
      const said = await refused(
        { without: 'node_modules/fuse-native' },
        path.join(fresh(), 'mnt'),
        '--driver=fuse-native',
      )
      expect(said).toMatch(
        /ltxd: fuse.driver is fuse-native, and the package .* does not load .*npm install fuse-native/,
      )
    })

    it('without fusermount3', async () => {
      const argv = [user.node, cli, 'mount', path.join(fresh(), 'mnt'), '--data', path.join(fresh(), 'data')]
      const [program, args] = user.command(['env', 'PATH=/nowhere', ...argv, '--http', '127.0.0.1:0'])
      const { code, stderr } = await attempt(program, args)
      expect(stderr).toMatch(
        /ltxd: the user .* is not root, and there is no fusermount3 .*install it \(package fuse3\)/,
      )
      expect(code).toBe(1)
    })

    it('if set-user-id bits have no effect', async () => {
      const argv = [user.node, cli, 'mount', path.join(fresh(), 'mnt'), '--data', path.join(fresh(), 'data')]
      const [program, args] = user.command(['setpriv', '--no-new-privs', ...argv, '--http', '127.0.0.1:0'])
      expect((await attempt(program, args)).stderr).toMatch(/ltxd: fusermount3 may not mount at .*no_new_privs/)
    })
  })

  let directories = 0
  /** Makes a new directory that belongs to the user. */
  function fresh(): string {
    return user.directory(`d${++directories}`)
  }
})
