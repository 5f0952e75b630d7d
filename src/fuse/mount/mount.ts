/**
 * Mounts and unmounts: directly as root, through fusermount3 as any other user, or, if so configured, through libfuse
 * in a process of its own. The file system and its session are the same.
 */

import fs from 'node:fs'
import type { FuseConfig } from '../../config/config.ts'
import { mountThroughBridge } from '../bridge/mount.ts'
import { FUSERMOUNT } from '../host/access.ts'
import { type Outcome, run } from '../host/command.ts'
import { MountError } from '../host/mount-error.ts'
import { findPlace, type MountPlace, placeOf } from '../host/mount-place.ts'
import { inUse, MOUNT_TYPE, type MountPoint, prepareMountPoint } from '../host/mount-point.ts'
import { type MountEntry, readMounts } from '../host/mountinfo.ts'
import { type Mounted, mountedAs, openMount, OwnMount } from '../host/own-mount.ts'
import { isRoot } from '../host/privilege.ts'
import {
  unmountAdvice,
  unmountByDescriptor,
  type UnmountCommand,
  unmountCommand,
  type UnmountKind,
} from '../host/unmount-command.ts'
import { MAX_TRANSFER } from '../protocol/kernel.ts'
import { mountDirect } from './direct.ts'
import { mountThroughFusermount } from './fusermount.ts'

/** How long a live mount may take to answer. */
const PROBE_TIMEOUT_MS = 3_000

export type Driver = FuseConfig['driver']

export interface MountOptions {
  /** direct: this process serves the kernel's requests. fuse-native: libfuse does. */
  readonly driver?: Driver
  /** The source that mount(8) and df(1) show. */
  readonly fsname?: string
  /** Other users may use the mount too, as far as the permissions of files allow. */
  readonly allowOther?: boolean
}

/**
 * Mounts at `directory`, which is created if it does not exist. Returns the device, on which a Session must serve from
 * now on. Throws MountError.
 */
export async function mount(directory: string, options: MountOptions = {}): Promise<Mounted> {
  const { driver = 'direct', fsname = 'ltxd', allowOther = false } = options
  const point = prepareMountPoint(directory)
  const before = new Set(mountsOf(fsname).map(({ id }) => id))
  try {
    if (driver === 'fuse-native') return await mountThroughBridge(point, { fsname, allowOther })
    // Always with default_permissions: without it, allow_other would give every user access to every file.
    const kernel = [`max_read=${MAX_TRANSFER}`, 'default_permissions', ...(allowOther ? ['allow_other'] : [])]
    return placed(await mountDevice(point, fsname, kernel), point, fsname)
  } catch (error) {
    const made = mountsOf(fsname).filter(({ id }) => !before.has(id))
    await (isRoot() ? unmountMade(made, point) : unmountElsewhere(made))
    throw error
  } finally {
    fs.closeSync(point.directory)
  }
}

/** The programs that mount for another user than root take a path, so they may have mounted elsewhere. */
async function unmountElsewhere(made: readonly MountEntry[]): Promise<void> {
  for (const { mountPoint } of made) await run(FUSERMOUNT, ['-u', '-z', '--', mountPoint])
}

/** Root mounts on the directory that was checked, whatever its name is now. */
async function unmountMade(made: readonly MountEntry[], { directory }: MountPoint): Promise<void> {
  if (made.length === 0) return
  const place = placeOf(directory)
  await runUnmount(unmountCommand(place, 'lazy')).finally(() => place.close())
}

function mountDevice(point: MountPoint, fsname: string, options: readonly string[]): number | Promise<number> {
  return isRoot() ? mountDirect(point, fsname, options) : mountThroughFusermount(point.path, fsname, options)
}

function mountsOf(fsname: string): MountEntry[] {
  return readMounts().filter(({ type, source }) => type === MOUNT_TYPE && source === fsname)
}

function placed(device: number, { directory }: MountPoint, fsname: string): Mounted {
  try {
    return mountedAs(device, OwnMount.at(directory, fsname))
  } catch (error) {
    fs.closeSync(device)
    throw error
  }
}

/**
 * Unmounts. If the mount is in use, detaches it ('detached'), so that programs with open files get errors: as root at
 * once, otherwise after the session was stopped and the device closed. The session must be reachable for that, so
 * `beforeDetach` hangs the doorbell again; it also ends what those programs could do meanwhile. In all other cases the
 * session, which must still be running, returns.
 */
export async function unmount(own: OwnMount, beforeDetach: () => Promise<void>): Promise<'unmounted' | 'detached'> {
  if (!own.isThere()) return 'unmounted'
  await unmountAt(own, 'plain')
  if (!own.isThere()) return 'unmounted'
  await beforeDetach()
  const detached = await unmountAt(own, 'force')
  if (detached.status === 0) return 'detached'
  const { path } = own.place
  throw new MountError('UNMOUNT_FAILED', `cannot unmount ${path}: ${detached.stderr}; ${unmountAdvice(path)}`)
}

async function unmountAt(own: OwnMount, kind: UnmountKind): Promise<Outcome> {
  const { covering } = own
  if (covering === undefined) return runUnmount(unmountCommand(own.place, kind))
  return { status: null, stderr: `${covering.source} (${covering.type}) is mounted over it` }
}

function runUnmount({ program, args, descriptor }: UnmountCommand): Promise<Outcome> {
  return run(program, args, { descriptor })
}

/** As root. Only for a mount that nobody serves: closing the descriptor may be what ends it. */
async function runByDescriptor(mount: MountEntry, kind: 'lazy' | 'abort'): Promise<Outcome> {
  const root = openMount(mount)
  if (root === undefined) return { status: null, stderr: 'it has moved, or another is mounted over it' }
  try {
    return await runUnmount(unmountByDescriptor(root, kind))
  } finally {
    fs.closeSync(root)
  }
}

export interface StaleMountOptions {
  /** The source of mounts of which the caller knows that nobody serves them. */
  readonly own?: string
  /** Called for each dead mount before it is removed. */
  readonly found?: (stale: MountEntry) => Promise<void>
}

/**
 * If a daemon died and left its mount at `directory`, removes it, and any dead mounts underneath. One's own that does
 * not answer, because some process has inherited its device, is ended first. Returns whether there was one. Throws
 * MountError when the mount is alive.
 */
export async function clearStaleMount(directory: string, options: StaleMountOptions = {}): Promise<boolean> {
  for (let cleared = false; ; cleared = true) {
    const place = findPlace(directory)
    try {
      if (!(await clearOne(place, options))) return cleared
    } finally {
      place.close()
    }
  }
}

/** Whether there was a dead mount. */
async function clearOne(place: MountPlace, options: StaleMountOptions): Promise<boolean> {
  for (let hasAborted = false; ; hasAborted = true) {
    const { path, mounted } = place
    if (mounted?.type !== MOUNT_TYPE) return hasAborted
    const named = place.seenThrough(3)
    const probe = await run('stat', ['-f', '-c', '%T', named], {
      timeoutMs: PROBE_TIMEOUT_MS,
      descriptor: place.parent,
    })
    if (probe.status === 0 || !isDisconnected(probe.stderr)) {
      if (probe.status !== null || mounted.source !== options.own || hasAborted) throw inUse(path, mounted)
      await abortConnection(mounted)
      continue
    }
    await options.found?.(mounted)
    const { status, stderr } = isRoot()
      ? await runByDescriptor(mounted, 'lazy')
      : await runUnmount(unmountCommand(place, 'lazy'))
    if (status !== 0 && place.mounted !== undefined) {
      throw new MountError(
        'UNMOUNT_FAILED',
        `a dead ltxd mount at ${path} cannot be unmounted: ${stderr}; as root, run: umount -l '${path}'`,
      )
    }
    return true
  }
}

/** Whoever waits for the mount gets an error. Needs root, or that this user has made the mount. */
async function abortConnection(mount: MountEntry): Promise<void> {
  const { device } = mount
  try {
    fs.writeFileSync(`/sys/fs/fuse/connections/${device.slice(device.indexOf(':') + 1)}/abort`, '1')
  } catch {
    // The file system of connections is not mounted here. "target is busy" is the answer, and the connection ends.
    if (isRoot()) await runByDescriptor(mount, 'abort')
  }
}

function isDisconnected(stderr: string): boolean {
  return stderr.includes('Transport endpoint is not connected') || stderr.includes('connection abort')
}
