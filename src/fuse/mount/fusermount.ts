/**
 * Mounts without root: fusermount3, which is set-user-id root, mounts for a user who may write to the directory, and
 * sends the device's descriptor through a socket.
 */

import { spawnSync } from 'node:child_process'
import { helperEnvironment } from '../../util/environment.ts'
import { errorCode, errorMessage } from '../../util/errors.ts'
import { checkAccess, denied, foreign, FUSERMOUNT, user } from '../host/access.ts'
import { DescriptorSocket } from '../host/descriptor-socket.ts'
import { MountError } from '../host/mount-error.ts'
import { SUBTYPE } from '../host/mount-point.ts'

const TIMEOUT_MS = 10_000
/** The environment variable with the number of fusermount3's end of the socket. */
const SOCKET_VARIABLE = '_FUSE_COMMFD'
/** The system's reasons, in fusermount3's message about a failed mount(2). */
const NOT_PERMITTED = /operation not permitted|must be superuser/i

/** Mounts at `target`. Returns the descriptor of the device. Throws MountError. */
export async function mountThroughFusermount(
  target: string,
  fsname: string,
  options: readonly string[],
): Promise<number> {
  checkAccess(target)
  const socket = await openSocket()
  try {
    const all = ['nosuid', 'nodev', `fsname=${fsname}`, `subtype=${SUBTYPE}`, ...options].join(',')
    const result = spawnSync(FUSERMOUNT, ['-o', all, '--', target], {
      stdio: ['ignore', 'ignore', 'pipe', socket.theirs],
      env: helperEnvironment({ LC_ALL: 'C', [SOCKET_VARIABLE]: '3' }),
      timeout: TIMEOUT_MS,
      encoding: 'utf8',
    })
    if (errorCode(result.error) === 'ENOENT') throw missing()
    if (result.status !== 0) throw failure(target, (result.error?.message ?? result.stderr).trim())
    const device = socket.receive()
    if (device === undefined) {
      throw new MountError('MOUNT_FAILED', `${FUSERMOUNT} mounted ${target}, but did not send the device's descriptor`)
    }
    return device
  } finally {
    socket.close()
  }
}

async function openSocket(): Promise<DescriptorSocket> {
  try {
    return await DescriptorSocket.open()
  } catch (error) {
    throw new MountError(
      'MOUNT_FAILED',
      `mounting without root needs the native module koffi, which does not load here: ${errorMessage(error)}; ` +
        "reinstall ltxd's packages, or run ltxd as root",
      { cause: error },
    )
  }
}

function missing(): MountError {
  return new MountError(
    'FUSERMOUNT_MISSING',
    `${user()} is not root, and there is no ${FUSERMOUNT} that could mount on its behalf; ` +
      'install it (package fuse3), or run ltxd as root',
  )
}

function failure(target: string, stderr: string): MountError {
  if (stderr.includes('user_allow_other')) {
    return denied(
      'fuse.allow-other is set, and this machine does not permit it without root; ' +
        'as root, write a line "user_allow_other" into /etc/fuse.conf, or leave allow-other out',
    )
  }
  if (/not owned by user|no write access/.test(stderr)) return foreign(target)
  if (NOT_PERMITTED.test(stderr)) {
    return denied(
      `${FUSERMOUNT} may not mount at ${target}: ${stderr}; it must belong to root with its set-user-id bit ` +
        '(chmod u+s), without no_new_privs, and a container needs --cap-add SYS_ADMIN --device /dev/fuse',
    )
  }
  return new MountError('MOUNT_FAILED', `cannot mount at ${target}: ${stderr}`)
}
