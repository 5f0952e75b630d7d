/** The directory to mount at: its real path, and whether it can be mounted over. */

import fs from 'node:fs'
import path from 'node:path'
import { BY_UMASK } from '../../util/directories.ts'
import { errorCode, errorMessage } from '../../util/errors.ts'
import { MountError } from './mount-error.ts'
import { mountAt, type MountEntry } from './mountinfo.ts'

export const SUBTYPE = 'ltxd'
/** The type of ltxd's mounts in mountinfo. */
export const MOUNT_TYPE = `fuse.${SUBTYPE}`

const MAX_SYMLINKS = 40

/** Creates the directory if needed, and returns its real path. Throws MountError when ltxd cannot mount there. */
export function prepareMountPoint(directory: string): string {
  const target = realPath(directory)
  const mounted = mountAt(target)
  if (mounted?.type === MOUNT_TYPE) throw inUse(target, mounted)
  if (mounted !== undefined) {
    throw new MountError(
      'MOUNT_OCCUPIED',
      `${target} is the mount point of ${mounted.source} (${mounted.type}); ` +
        'choose another directory, or unmount it first',
    )
  }
  try {
    fs.mkdirSync(target, { recursive: true, mode: BY_UMASK })
    if (fs.readdirSync(target).length > 0) {
      throw new MountError(
        'MOUNT_NOT_EMPTY',
        `${target} is not empty, and the mount would hide its files; ` +
          'choose an empty directory or one that does not exist yet',
      )
    }
  } catch (error) {
    if (error instanceof MountError) throw error
    if (errorCode(error) === 'EEXIST' || errorCode(error) === 'ENOTDIR') {
      throw new MountError('MOUNT_NOT_DIRECTORY', `${target} is not a directory; choose another mount point`)
    }
    throw new MountError('MOUNT_FAILED', `cannot prepare the mount point ${target}: ${errorMessage(error)}`, {
      cause: error,
    })
  }
  return target
}

/** The error for a live mount of ltxd. */
export function inUse(target: string, { options }: MountEntry): MountError {
  const owner = options.find((option) => option.startsWith('user_id='))?.slice('user_id='.length)
  const isForeign = owner !== undefined && owner !== String(process.geteuid?.())
  const whose = isForeign ? ` (of the user with id ${owner})` : ''
  const isDead = `if it is dead, ${isForeign ? 'as root, ' : ''}run: umount -f -l '${target}'`
  const advice = `stop it first (${isDead})`
  return new MountError(
    'MOUNT_IN_USE',
    `another ltxd${whose} serves ${target}; ${advice}, or choose another mount point`,
  )
}

/**
 * The path as in /proc/self/mountinfo. Does not access a file system mounted there: it may be dead, or served by this
 * process, which would then wait for itself.
 */
export function realPath(directory: string): string {
  let candidate = path.resolve(directory)
  for (let i = 0; i < MAX_SYMLINKS; i++) {
    candidate = path.join(realParent(candidate), path.basename(candidate))
    if (mountAt(candidate) !== undefined) return candidate
    const target = symlinkTarget(candidate)
    if (target === undefined) return candidate
    candidate = path.resolve(path.dirname(candidate), target)
  }
  throw new MountError('MOUNT_FAILED', `${directory} leads through too many symbolic links; name the directory itself`)
}

function realParent(absolute: string): string {
  const parent = path.dirname(absolute)
  try {
    return fs.realpathSync(parent)
  } catch {
    return parent // It does not exist yet.
  }
}

function symlinkTarget(absolute: string): string | undefined {
  try {
    return fs.readlinkSync(absolute)
  } catch {
    return undefined
  }
}
