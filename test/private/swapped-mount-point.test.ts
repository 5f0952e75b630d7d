/**
 * The owner of a directory above the mount point puts another directory, or a link to a directory of root's, in its
 * place while ltxd, as root, mounts and unmounts. Nothing of root's is ever mounted over, unmounted or removed.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { setAsideStrays } from '../../src/data/strays.ts'
import { MountError } from '../../src/fuse/host/mount-error.ts'
import { atDirectory } from '../../src/fuse/host/mount-place.ts'
import { mount, unmount } from '../../src/fuse/mount/mount.ts'
import { filesBeneath } from '../../src/util/files-beneath.ts'
import { IS_ROOT } from '../conformance/served.ts'
import { effort, HANG_MS } from '../harness/effort.ts'
import { mountsBelow } from '../harness/mounts.ts'
import { NOBODY } from './nobody.ts'

const TRIES = effort(200, 10_000)
const UID = 65_534
/** Exchanges a name and `other`, as often as it can. A directory that the node has made meanwhile moves away. */
const SWAPPER = `
const fs = require('node:fs')
const [, directory, name] = process.argv
process.chdir(directory)
let moved = 0
function rename(from, to) {
  try {
    fs.renameSync(from, to)
  } catch {
    fs.renameSync(to, 'moved' + moved++)
    rename(from, to)
  }
}
console.log('swaps')
for (;;) {
  rename(name, 'aside')
  rename('other', name)
  rename(name, 'other')
  rename('aside', name)
}`

let dir: string
/** Belongs to nobody, as `above` in it, in which is the mount point. */
let home: string
/** Belongs to root. Has an empty directory, and one with a mount, of the mount point's name. */
let victim: string
let swapper: ChildProcess | undefined

beforeEach(() => {
  dir = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'ltxd-swapped-')))
  fs.chmodSync(dir, 0o755)
  home = join(dir, 'home')
  victim = join(dir, 'victim')
  fs.mkdirSync(join(home, 'above'), { recursive: true })
  fs.mkdirSync(join(victim, 'empty', 'mnt'), { recursive: true })
  fs.mkdirSync(join(victim, 'mounted', 'mnt'), { recursive: true })
  for (const path of [home, join(home, 'above')]) fs.chownSync(path, UID, UID)
})

afterEach(async () => {
  if (swapper !== undefined && swapper.exitCode === null) {
    swapper.kill('SIGKILL')
    await once(swapper, 'close')
  }
  swapper = undefined
  for (const point of mountsBelow(dir)) execFileSync('umount', ['-l', point])
  fs.rmSync(dir, { recursive: true, force: true })
})

/** A link of nobody's to `target`, as the place that `above` is exchanged with. */
function link(target: string, path = join(home, 'other')): void {
  fs.symlinkSync(target, path)
  fs.lchownSync(path, UID, UID)
}

async function swap(directory = home, name = 'above'): Promise<void> {
  // In another mount namespace, where the mount point is none, and can be renamed: any user can make one.
  const command = ['-m', ...NOBODY, process.execPath, '-e', SWAPPER, directory, name]
  const child = spawn('unshare', command, { stdio: ['ignore', 'pipe', 'inherit'] })
  swapper = child
  await once(child.stdout, 'data')
}

/** How often mounting succeeded, or was rejected. No session runs: closing the device ends the mount's connection. */
async function mountAndUnmount(check: () => void): Promise<{ mounted: number; rejected: number }> {
  const outcome = { mounted: 0, rejected: 0 }
  for (let i = 0; i < TRIES; i++) {
    try {
      const mounted = await mount(join(home, 'above', 'mnt'), { fsname: 'ltxd:swapped' })
      check()
      await unmount(mounted.at, () => Promise.resolve())
      await mounted.close()
      outcome.mounted++
    } catch (error) {
      if (!(error instanceof MountError)) throw error
      outcome.rejected++
    }
    check()
  }
  return outcome
}

test.runIf(IS_ROOT)(
  'a link that is put in the place of a directory above the mount point does not lead the mount elsewhere',
  { timeout: 10 * HANG_MS },
  async () => {
    link(join(victim, 'empty'))
    await swap()
    const { mounted } = await mountAndUnmount(() => expect(mountsBelow(victim)).toEqual([]))
    expect(mounted).toBeGreaterThan(0)
    expect(mountsBelow(dir)).toEqual([])
  },
)

test.runIf(IS_ROOT)('nor does it unmount what another has mounted', { timeout: 10 * HANG_MS }, async () => {
  execFileSync('mount', ['-t', 'tmpfs', 'none', join(victim, 'mounted', 'mnt')])
  const before = mountsBelow(victim)
  link(join(victim, 'mounted'))
  await swap()
  const { mounted } = await mountAndUnmount(() => expect(mountsBelow(victim)).toEqual(before))
  expect(mounted).toBeGreaterThan(0)
  expect(mountsBelow(home)).toEqual([])
})

test.runIf(IS_ROOT)('a link of another user is followed in no component of a mount point, one of root is', async () => {
  link(join(victim, 'empty'))
  fs.symlinkSync(join(victim, 'empty', 'mnt'), join(home, 'above', 'mnt'))
  fs.lchownSync(join(home, 'above', 'mnt'), UID, UID)
  for (const path of [join(home, 'other', 'mnt'), join(home, 'above', 'mnt')])
    await expect(mount(path)).rejects.toThrow(/symbolic link of the user with id 65534.*name the directory itself/)
  fs.symlinkSync('../victim/../victim/empty', join(home, 'own'))
  await expect(mount(join(home, 'own', 'mnt'))).rejects.toThrow(/at a place to which another user may write/)
  fs.mkdirSync(join(dir, 'roots'))
  fs.symlinkSync('../victim/../victim/empty', join(dir, 'roots', 'own'))
  const mounted = await mount(join(dir, 'roots', 'own', 'mnt'))
  expect(mountsBelow(dir)).toEqual([join(victim, 'empty', 'mnt')])
  expect(await unmount(mounted.at, () => Promise.resolve())).toBe('unmounted')
  await mounted.close()
  expect(mountsBelow(dir)).toEqual([])
})

test.runIf(IS_ROOT)('a mount whose parent was renamed is unmounted where it is', async () => {
  const mounted = await mount(join(home, 'above', 'mnt'))
  fs.renameSync(join(home, 'above'), join(home, 'aside'))
  execFileSync('mount', ['-t', 'tmpfs', 'none', join(victim, 'mounted', 'mnt')])
  fs.symlinkSync(join(victim, 'mounted'), join(home, 'above'))
  expect(await unmount(mounted.at, () => Promise.resolve())).toBe('unmounted')
  await mounted.close()
  expect(mountsBelow(dir)).toEqual([join(victim, 'mounted', 'mnt')])
})

test.runIf(IS_ROOT)(
  'a mount point that is renamed in another mount namespace is unmounted, and not what a link in its place leads to',
  { timeout: 10 * HANG_MS },
  async () => {
    execFileSync('mount', ['-t', 'tmpfs', 'none', join(victim, 'mounted', 'mnt')])
    const before = mountsBelow(victim)
    fs.mkdirSync(join(home, 'above', 'mnt'))
    link(join(victim, 'mounted', 'mnt'), join(home, 'above', 'other'))
    await swap(join(home, 'above'), 'mnt')
    const { mounted } = await mountAndUnmount(() => expect(mountsBelow(victim)).toEqual(before))
    expect(mounted).toBeGreaterThan(0)
    expect(mountsBelow(home)).toEqual([])
  },
)

test.runIf(IS_ROOT)(
  'journals move only out of the mount point, and not out of where a link in its place leads',
  { timeout: 10 * HANG_MS },
  async () => {
    const journal = join(victim, 'empty', 'mnt', 'a.db-journal')
    fs.writeFileSync(journal, 'another')
    fs.mkdirSync(join(home, 'above', 'mnt'))
    link(join(victim, 'empty'))
    await swap()
    let looked = 0
    for (let i = 0; i < TRIES; i++) {
      try {
        await atDirectory(join(home, 'above', 'mnt'), async (at) => {
          looked++
          expect(await setAsideStrays(at, { files: filesBeneath(dir), into: join(dir, 'strays') })).toEqual([])
        })
      } catch (error) {
        if (!(error instanceof MountError)) throw error
      }
      expect(fs.readFileSync(journal, 'utf8')).toBe('another')
    }
    expect(looked).toBeGreaterThan(0)
  },
)
