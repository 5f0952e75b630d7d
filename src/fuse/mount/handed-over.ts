/**
 * Mounts that root has made for ltxd: `mount.fuse3 ltxd#SOURCE DIR -o drop_privileges` opens the device, mounts it,
 * drops all privileges and starts `ltxd SOURCE /dev/fd/N -o OPTIONS`, which inherits the device as descriptor N.
 */

import fs from 'node:fs'
import { MountError } from '../host/mount-error.ts'
import { MOUNT_TYPE } from '../host/mount-point.ts'
import { type MountEntry, readMounts } from '../host/mountinfo.ts'

const DESCRIPTOR_PATH = /^\/dev\/fd\/(\d{1,7})$/

export interface HandedOver {
  /** The descriptor of the device. The process that mounted it must also unmount it. */
  readonly device: number
  readonly mountPoint: string
  readonly mount: MountEntry
}

/** The descriptor that a mount point of the form /dev/fd/N names. */
export function descriptorOf(mountPoint: string): number | undefined {
  const digits = DESCRIPTOR_PATH.exec(mountPoint)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

/** The mount behind a mount point of the form /dev/fd/N; undefined for any other. Throws MountError. */
export function handedOver(mountPoint: string): HandedOver | undefined {
  const device = descriptorOf(mountPoint)
  if (device === undefined) return undefined
  if (!isFuseDevice(device)) {
    throw wrong(
      `${mountPoint} is not a descriptor of /dev/fuse; this form of a mount point is for ` +
        'mount.fuse3 -o drop_privileges, which opens the device',
    )
  }
  const mount = mountOf(fs.readFileSync(`/proc/self/fdinfo/${device}`, 'utf8'), readMounts())
  if (mount === undefined) {
    throw wrong(
      `the device in ${mountPoint} is not mounted in this process's namespace; start ltxd in the mount's namespace`,
    )
  }
  if (!mount.options.includes('default_permissions')) {
    throw wrong(
      `${mount.mountPoint} was mounted without default_permissions, so the kernel would not check permissions; ` +
        'add it to the options of mount.fuse3',
    )
  }
  return { device, mountPoint: mount.mountPoint, mount }
}

/**
 * Newer kernels report a device's connection in /proc/PID/fdinfo, which is the minor number of its mount. On others,
 * this returns the last of ltxd's mounts. If that is the wrong mount, it does not answer at the start.
 */
export function mountOf(fdinfo: string, mounts: readonly MountEntry[]): MountEntry | undefined {
  const connection = /^fuse_connection:\s*(\d+)$/m.exec(fdinfo)?.[1]
  if (connection === undefined) return mounts.findLast(({ type }) => type === MOUNT_TYPE)
  return mounts.findLast(({ type, device }) => /^fuse(\.|$)/.test(type) && device === `0:${connection}`)
}

function isFuseDevice(descriptor: number): boolean {
  try {
    const { rdev } = fs.fstatSync(descriptor)
    return rdev !== 0 && rdev === fs.statSync('/dev/fuse').rdev
  } catch {
    return false
  }
}

function wrong(message: string): MountError {
  return new MountError('MOUNT_NOT_HANDED_OVER', message)
}
