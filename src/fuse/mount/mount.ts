/**
 * Mounts and unmounts: directly as root, through fusermount3 as any other user, or, if so configured, through libfuse
 * in a process of its own. The file system and its session are the same.
 */

import fs from 'node:fs'
import type { FuseConfig } from '../../config/config.ts'
import { mountThroughBridge } from '../bridge/mount.ts'
import type { Mounted } from '../device.ts'
import { run } from '../host/command.ts'
import { MountError } from '../host/mount-error.ts'
import { inUse, MOUNT_TYPE, prepareMountPoint, realPath } from '../host/mount-point.ts'
import { mountAt, type MountEntry } from '../host/mountinfo.ts'
import { isRoot } from '../host/privilege.ts'
import { unmountAdvice, unmountCommand } from '../host/unmount-command.ts'
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
  const target = prepareMountPoint(directory)
  if (driver === 'fuse-native') return mountThroughBridge(target, { fsname, allowOther })
  // Always with default_permissions: without it, allow_other would give every user access to every file.
  const kernel = [`max_read=${MAX_TRANSFER}`, 'default_permissions', ...(allowOther ? ['allow_other'] : [])]
  const device = isRoot() ? mountDirect(target, fsname, kernel) : await mountThroughFusermount(target, fsname, kernel)
  return mountedAs(device)
}

/** A mount whose device this process has open. */
export function mountedAs(device: number): Mounted {
  return { device, close: () => Promise.resolve(fs.closeSync(device)) }
}

/**
 * Unmounts `directory`. If the mount is in use, detaches it ('detached'), so that programs with open files get errors:
 * as root at once, otherwise after the session was stopped and the device closed. The session must be reachable for
 * that, so `beforeDetach` hangs the doorbell again; it also ends what those programs could do meanwhile. In all other
 * cases the session, which must still be running, returns.
 */
export async function unmount(directory: string, beforeDetach: () => Promise<void>): Promise<'unmounted' | 'detached'> {
  const target = realPath(directory)
  const plain = await run(...unmountCommand(target, 'plain'))
  if (plain.status === 0) return 'unmounted'
  if (mountAt(target) === undefined) return 'unmounted'
  await beforeDetach()
  const detached = await run(...unmountCommand(target, 'force'))
  if (detached.status === 0) return 'detached'
  throw new MountError('UNMOUNT_FAILED', `cannot unmount ${target}: ${detached.stderr}; ${unmountAdvice(target)}`)
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
  let cleared = false
  let hasAborted = false
  for (;;) {
    const target = realPath(directory)
    const mounted = mountAt(target)
    if (mounted?.type !== MOUNT_TYPE) return cleared
    const probe = await run('stat', ['-f', '-c', '%T', target], PROBE_TIMEOUT_MS)
    if (probe.status === 0 || !isDisconnected(probe.stderr)) {
      if (probe.status !== null || mounted.source !== options.own || hasAborted) throw inUse(target, mounted)
      hasAborted = true
      await abortConnection(mounted)
      continue
    }
    await options.found?.(mounted)
    const { status, stderr } = await run(...unmountCommand(target, 'lazy'))
    if (status !== 0 && mountAt(target) !== undefined) {
      throw new MountError(
        'UNMOUNT_FAILED',
        `a dead ltxd mount at ${target} cannot be unmounted: ${stderr}; as root, run: umount -l '${target}'`,
      )
    }
    cleared = true
  }
}

/** Whoever waits for the mount gets an error. Needs root, or that this user has made the mount. */
async function abortConnection({ device, mountPoint }: MountEntry): Promise<void> {
  try {
    fs.writeFileSync(`/sys/fs/fuse/connections/${device.slice(device.indexOf(':') + 1)}/abort`, '1')
  } catch {
    // The file system of connections is not mounted here. "target is busy" is the answer, and the connection ends.
    if (isRoot()) await run('umount', ['-i', '-c', '-f', mountPoint])
  }
}

function isDisconnected(stderr: string): boolean {
  return stderr.includes('Transport endpoint is not connected') || stderr.includes('connection abort')
}
