/** Checks whether a user who is not root may mount on this machine. */

import fs from 'node:fs'
import os from 'node:os'
import { errorCode } from '../../util/errors.ts'
import { isNoDevice, MountError, noDevice } from './mount-error.ts'

export const FUSERMOUNT = 'fusermount3'

/** Throws MountError, with advice, where fusermount3 would fail with a message of its own. */
export function checkAccess(target: string): void {
  try {
    fs.accessSync('/dev/fuse', fs.constants.R_OK | fs.constants.W_OK)
  } catch (error) {
    if (isNoDevice(errorCode(error))) throw noDevice(error)
    throw denied(
      `${user()} may not open /dev/fuse; as root, run: chmod 666 /dev/fuse ` +
        "(udev's rules do that on most systems), or run ltxd as root",
      error,
    )
  }
  try {
    fs.accessSync(target, fs.constants.W_OK)
  } catch (error) {
    throw foreign(target, error)
  }
}

/** The error for a mount point that the user does not own. */
export function foreign(target: string, cause?: unknown): MountError {
  return denied(
    `${user()} may not mount at ${target}: without root, the user must own the mount point; ` +
      `choose another directory, or as root, run: chown ${process.geteuid?.()} '${target}'`,
    cause,
  )
}

export function denied(message: string, cause?: unknown): MountError {
  return new MountError('MOUNT_DENIED', message, cause === undefined ? undefined : { cause })
}

/** The user's name, or the id: a user in a container may have no name. */
export function user(): string {
  try {
    return `the user ${os.userInfo().username}`
  } catch {
    return `the user with id ${process.geteuid?.()}`
  }
}
