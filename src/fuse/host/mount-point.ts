/** The directory to mount at, and whether it can be mounted over. */

import fs from 'node:fs'
import { openEntry } from '../../util/named-directory.ts'
import { MountError } from './mount-error.ts'
import { explained, findPlace } from './mount-place.ts'
import type { MountEntry } from './mountinfo.ts'

export const SUBTYPE = 'ltxd'
/** The type of ltxd's mounts in mountinfo. */
export const MOUNT_TYPE = `fuse.${SUBTYPE}`

/** A directory that can be mounted over. */
export interface MountPoint {
  /** An O_PATH descriptor, for the caller to close. To mount on this is to mount there, whatever is renamed. */
  readonly directory: number
  /** Where it was. */
  readonly path: string
}

/** Creates the directory if needed. Throws MountError when ltxd cannot mount there. */
export function prepareMountPoint(named: string): MountPoint {
  const place = findPlace(named, true)
  let directory: number | undefined
  try {
    const { path, mounted } = place
    if (mounted?.type === MOUNT_TYPE) throw inUse(path, mounted)
    if (mounted !== undefined) {
      throw new MountError(
        'MOUNT_OCCUPIED',
        `${path} is the mount point of ${mounted.source} (${mounted.type}); ` +
          'choose another directory, or unmount it first',
      )
    }
    directory = openEntry(place)
    if (fs.readdirSync(`/proc/self/fd/${directory}`).length > 0) {
      throw new MountError(
        'MOUNT_NOT_EMPTY',
        `${path} is not empty, and the mount would hide its files; ` +
          'choose an empty directory or one that does not exist yet',
      )
    }
    return { directory, path }
  } catch (error) {
    if (directory !== undefined) fs.closeSync(directory)
    throw explained(named, error)
  } finally {
    place.close()
  }
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
