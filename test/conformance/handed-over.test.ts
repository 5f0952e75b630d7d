/** A node that root's `mount.fuse3 -o drop_privileges` starts without privileges, on a mount that already exists. */

import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findTool } from '../../infra/test-tools.ts'
import { User } from '../harness/as-user.ts'
import { LTXD_CLI } from '../harness/ltxd-node.ts'
import { attempt, IS_ROOT } from './served.ts'

/** mount.fuse3 needs the name of a program. */
const NOBODY = { name: 'nobody', id: 65_534 }

describe.skipIf(!IS_ROOT || findTool('fusermount3') === undefined)('a node started by mount.fuse3', () => {
  let user: User
  let programs: string
  beforeAll(() => {
    user = new User()
    chmodSync(user.home, 0o755)
    programs = path.join(user.home, 'bin')
    mkdirSync(programs)
    writeFileSync(path.join(programs, 'ltxd'), `#!/bin/sh\nexec '${user.node}' '${user.seen(LTXD_CLI)}' "$@"\n`)
    chmodSync(path.join(programs, 'ltxd'), 0o755)
  })
  afterAll(() => user.remove())

  it('serves without privileges, stops cleanly, and leaves the unmount to root', async () => {
    expect(
      await root(`
        start setuid=nobody,drop_privileges,default_permissions
        echo "$(sql 'create table t(x); insert into t values (1); select x from t')" "$(owner mnt/a.db)"
        grep -E '^(CapEff|NoNewPrivs):' /proc/$(node)/status | tr -s '\\t' ' '
        stop; mounted; umount mnt; mounted
        sqlite3 data/files/a.db 'select x + 1 from t'`),
    ).toEqual(['1 nobody', 'CapEff: 0000000000000000', 'NoNewPrivs: 1', 'ended 0', 'mounted', 'not mounted', '2'])
  })

  it('has every commit after kill -9 and a new start, once root has cleared the mount', async () => {
    expect(
      await root(`
        start setuid=nobody,drop_privileges,default_permissions
        sql 'create table t(x); insert into t values (1)'
        kill -9 $(node); wait $parent || true; umount -l mnt
        start setuid=nobody,drop_privileges,default_permissions
        sql 'insert into t values (2); select group_concat(x) from t'; stop; umount mnt`),
    ).toEqual(['1,2', 'ended 0'])
  })

  it('with allow_other, gives other users the access that the permissions give', async () => {
    expect(
      await root(`
        start setuid=nobody,drop_privileges,default_permissions,allow_other
        sql 'create table t(x); insert into t values (7)'
        sqlite3 mnt/a.db 'select x from t'
        setpriv --reuid=12345 --regid=12345 --clear-groups sqlite3 mnt/a.db 'select x + 1 from t' 2>&1
        stop; umount mnt`),
    ).toEqual(['7', '8', 'ended 0'])
  })

  it('is rejected without default_permissions, or with any other descriptor', async () => {
    expect(
      await root(`
        start setuid=nobody,drop_privileges
        wait $parent || echo "ended $?"; grep -o 'ltxd: .* was mounted without default_permissions' log | sed 's|/.*/||'
        umount -l mnt
        ltxd mount /dev/fd/0 2>&1 < /dev/null || echo "ended $?"`),
    ).toEqual([
      'ended 1',
      'ltxd: mnt was mounted without default_permissions',
      expect.stringMatching(/^ltxd: \/dev\/fd\/0 is not a descriptor of \/dev\/fuse; .*mount\.fuse3/),
      'ended 1',
    ])
  })

  let directories = 0
  /** Runs a script as root in a new directory that belongs to nobody, and returns the lines that it printed. */
  async function root(script: string): Promise<string[]> {
    const directory = path.join(user.home, `d${++directories}`)
    mkdirSync(directory)
    chownSync(directory, NOBODY.id, NOBODY.id)
    const helpers = `
      cd '${directory}'; export PATH='${programs}':/usr/sbin:/usr/bin:/sbin:/bin; mkdir -p mnt; chown nobody: mnt
      mounted() { grep -q " $PWD/mnt " /proc/self/mountinfo && echo mounted || echo not mounted; }
      start() {
        mount.fuse3 "ltxd#$PWD/data" "$PWD/mnt" -o "$1,http=127.0.0.1:0,log-level=info" > log 2>&1 & parent=$!
        until [ "$(mounted)" = mounted ]; do kill -0 $parent; sleep 0.05; done
      }
      # a shell stays between mount.fuse3 and ltxd where it does not replace itself with its last command
      node() { local children; children=$(cat /proc/$parent/task/$parent/children); echo \${children:-$parent}; }
      stop() { kill $(node); wait $parent && echo "ended $?"; }
      sql() { timeout 30 setpriv --reuid=${NOBODY.id} --regid=${NOBODY.id} --clear-groups sqlite3 mnt/a.db "$1"; }
      owner() { setpriv --reuid=${NOBODY.id} --regid=${NOBODY.id} --clear-groups stat -c %U "$1"; }
    `
    const { code, stdout, stderr } = await attempt(...user.command(['sh', '-euc', helpers + script], { as: 'root' }))
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' })
    return stdout.trimEnd().split('\n')
  }
})
