import { spawnSync } from 'node:child_process'
import { findPlace } from '../fuse/host/mount-place.ts'
import { MOUNT_TYPE } from '../fuse/host/mount-point.ts'
import { unmountCommand } from '../fuse/host/unmount-command.ts'
import { helperEnvironment } from '../util/environment.ts'

const TIMEOUT_MS = 5_000

/**
 * Detaches the mount, then ends the process with SIGKILL. An ordinary exit would wait for the data plane's thread,
 * which may hang. The next start recovers as after any crash.
 */
export function leaveAtOnce(mountDir: string): never {
  detachMount(mountDir)
  process.kill(process.pid, 'SIGKILL')
  throw new Error('unreachable: the process has killed itself')
}

/**
 * Detaches ltxd's mount at `directory`, if there is one, even while files on it are open. Does not wait for their
 * owners, and throws nothing.
 */
function detachMount(directory: string): void {
  try {
    const place = findPlace(directory)
    if (place.mounted?.type !== MOUNT_TYPE) return
    const { program, args, descriptor } = unmountCommand(place, 'lazy')
    spawnSync(program, args, {
      stdio: ['ignore', 'ignore', 'ignore', descriptor],
      timeout: TIMEOUT_MS,
      env: helperEnvironment(),
    })
  } catch {
    return
  }
}
