/** Mounts as root: opens /dev/fuse, and passes its descriptor to mount(8). */

import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { helperEnvironment } from '../../util/environment.ts'
import { errorCode, errorMessage } from '../../util/errors.ts'
import { isNoDevice, MountError, noDevice } from '../host/mount-error.ts'
import { MOUNT_TYPE } from '../host/mount-point.ts'

const TIMEOUT_MS = 10_000

/** Mounts at `target`. Returns the descriptor of the device. Throws MountError. */
export function mountDirect(target: string, fsname: string, options: readonly string[]): number {
  const device = openDevice()
  const owner = [`user_id=${process.geteuid?.() ?? 0}`, `group_id=${process.getegid?.() ?? 0}`]
  const all = ['fd=3', 'rootmode=40000', ...owner, 'nosuid', 'nodev', ...options].join(',')
  const result = spawnSync('mount', ['-i', '-t', MOUNT_TYPE, '-o', all, fsname, target], {
    // mount(8) resolves a source that is a path here.
    cwd: '/',
    stdio: ['ignore', 'ignore', 'pipe', device],
    env: helperEnvironment({ LC_ALL: 'C' }),
    timeout: TIMEOUT_MS,
    encoding: 'utf8',
  })
  if (result.status === 0) return device
  fs.closeSync(device)
  const message = (result.error?.message ?? result.stderr).trim()
  if (/permission denied|must be superuser|operation not permitted/i.test(message)) {
    throw denied(`may not mount at ${target}: ${message}`)
  }
  throw new MountError('MOUNT_FAILED', `cannot mount at ${target}: ${message}`)
}

function openDevice(): number {
  try {
    return fs.openSync('/dev/fuse', fs.constants.O_RDWR)
  } catch (error) {
    throw isNoDevice(errorCode(error)) ? noDevice(error) : denied(errorMessage(error), error)
  }
}

function denied(problem: string, cause?: unknown): MountError {
  const advice = 'start the container with --cap-add SYS_ADMIN --device /dev/fuse'
  return new MountError('MOUNT_DENIED', `${problem}; ${advice}`, cause === undefined ? undefined : { cause })
}
