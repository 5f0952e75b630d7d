/** What a user who is not root may do about mounting here. */

import fs from 'node:fs'
import os from 'node:os'
import { errorCode } from '../../util/errors.ts'
import { isNoDevice, MountError, noDevice } from './mount-error.ts'

export const FUSERMOUNT = 'fusermount3'

/** Throws MountError, with advice, where fusermount3 would fail with its own words. */
export function checkAccess(target: string): void {
  try {
    fs.accessSync('/dev/fuse', fs.constants.R_OK | fs.constants.W_OK)
  } catch (error) {
    if (isNoDevice(errorCode(error))) throw noDevice(error)
    throw denied(
      `${user()} may not open /dev/fuse; as root, run: chmod 666 /dev/fuse (udev's rules do that on most systems), or run ltxd as root`,
      error,
    )
  }
  try {
    fs.accessSync(target, fs.constants.W_OK)
  } catch (error) {
    throw foreign(target, error)
  }
}

/** The mount point is not the user's own. */
export function foreign(target: string, cause?: unknown): MountError {
  return denied(
    `${user()} may not mount at ${target}: without root the mount point has to be one's own directory; choose another one, or as root, run: chown ${process.geteuid?.()} '${target}'`,
    cause,
  )
}

export function denied(message: string, cause?: unknown): MountError {
  return new MountError('MOUNT_DENIED', message, cause === undefined ? undefined : { cause })
}

/** The user, by name; a user of a container may have none. */
export function user(): string {
  try {
    return `the user ${os.userInfo().username}`
  } catch {
    return `the user with id ${process.geteuid?.()}`
  }
}
