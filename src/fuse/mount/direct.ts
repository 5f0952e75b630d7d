/** Mounts as root: opens /dev/fuse, and passes its descriptor to mount(8). */

import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { helperEnvironment } from '../../util/environment.ts'
import { errorCode, errorMessage } from '../../util/errors.ts'
import { isNoDevice, MountError, noDevice } from '../host/mount-error.ts'
import { MOUNT_TYPE, type MountPoint } from '../host/mount-point.ts'

const TIMEOUT_MS = 10_000

/** Mounts at a directory. Returns the descriptor of the device. Throws MountError. */
export function mountDirect({ path, directory }: MountPoint, fsname: string, options: readonly string[]): number {
  const device = openDevice()
  const owner = [`user_id=${process.geteuid?.() ?? 0}`, `group_id=${process.getegid?.() ?? 0}`]
  const all = ['fd=3', 'rootmode=40000', ...owner, 'nosuid', 'nodev', ...options].join(',')
  // With a dot at its end: some versions of mount(8) would not follow the link in /proc.
  const result = spawnSync('mount', ['-i', '-c', '-t', MOUNT_TYPE, '-o', all, fsname, '/proc/self/fd/4/.'], {
    // mount(8) resolves a source that is a path here.
    cwd: '/',
    stdio: ['ignore', 'ignore', 'pipe', device, directory],
    env: helperEnvironment({ LC_ALL: 'C' }),
    timeout: TIMEOUT_MS,
    encoding: 'utf8',
  })
  if (result.status === 0) return device
  fs.closeSync(device)
  const message = (result.error?.message ?? result.stderr).trim().replaceAll('/proc/self/fd/4/.', path)
  if (/permission denied|must be superuser|operation not permitted/i.test(message)) {
    throw denied(`may not mount at ${path}: ${message}`)
  }
  throw new MountError('MOUNT_FAILED', `cannot mount at ${path}: ${message}`)
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
