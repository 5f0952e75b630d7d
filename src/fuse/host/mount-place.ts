/**
 * A place to mount at: an entry of a directory that is held by a descriptor. Whoever owns a directory above it can move
 * it, but cannot put another in its place.
 */

import fs from 'node:fs'
import path from 'node:path'
import { errorCode, errorMessage } from '../../util/errors.ts'
import { type Entry, findEntry, ForeignLinkError, O_PATH, openEntry, pathOf } from '../../util/named-directory.ts'
import { MountError } from './mount-error.ts'
import { mountAt, type MountEntry } from './mountinfo.ts'

const { O_DIRECTORY } = fs.constants

export class MountPlace {
  /** An O_PATH descriptor of a directory. */
  readonly parent: number
  /** The place's name in it. */
  readonly name: string

  constructor(parent: number, name: string) {
    this.parent = parent
    this.name = name
  }

  /** Where it is now, as in /proc/self/mountinfo. */
  get path(): string {
    return path.join(pathOf(this.parent), this.name)
  }

  /** What is mounted there, from mountinfo: the file system itself may be dead, or served by this process. */
  get mounted(): MountEntry | undefined {
    return mountAt(this.path)
  }

  /** The place's path in a process that has `parent` as this descriptor. */
  seenThrough(descriptor: number): string {
    return `/proc/self/fd/${descriptor}/${this.name}`
  }

  close(): void {
    fs.closeSync(this.parent)
  }
}

/**
 * Finds the place as util/named-directory.ts does. Does not access a file system that is mounted there. With `make`,
 * directories that are missing are made. Throws MountError.
 */
export function findPlace(directory: string, make = false): MountPlace {
  const isFound = ({ parent, name }: Entry) => new MountPlace(parent, name).mounted !== undefined
  try {
    const { parent, name } = findEntry(directory, { make, isFound })
    return new MountPlace(parent, name)
  } catch (error) {
    throw explained(directory, error)
  }
}

/**
 * The place of a directory, by the directory itself: its name may change even while something is mounted there, in
 * another mount namespace. To mount at the dot in it, or to unmount there, resolves no name.
 */
export function placeOf(directory: number): MountPlace {
  return new MountPlace(fs.openSync(`/proc/self/fd/${directory}/.`, O_PATH | O_DIRECTORY), '.')
}

/**
 * Runs `use` with a path that names the directory until `use` ends, whatever is renamed or replaced by a link
 * meanwhile. undefined: there is no such directory, or something is mounted there.
 */
export async function atDirectory<T>(named: string, use: (path: string) => Promise<T>): Promise<T | undefined> {
  const place = findPlace(named)
  try {
    // Of several names the first was missing: what is there by now was not checked.
    const isOther = place.name.includes('/') || place.mounted !== undefined
    const directory = isOther ? undefined : whereDirectory(() => openEntry(place))
    if (directory === undefined) return undefined
    try {
      return await use(`/proc/self/fd/${directory}`)
    } finally {
      fs.closeSync(directory)
    }
  } finally {
    place.close()
  }
}

function whereDirectory(open: () => number): number | undefined {
  try {
    return open()
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}

export function explained(directory: string, error: unknown): MountError {
  if (error instanceof MountError) return error
  if (error instanceof ForeignLinkError) return new MountError('MOUNT_LINK_FOREIGN', error.message, { cause: error })
  if (errorCode(error) === 'EEXIST' || errorCode(error) === 'ENOTDIR') {
    return new MountError('MOUNT_NOT_DIRECTORY', `${directory} is not a directory; choose another mount point`)
  }
  const reason = errorMessage(error).replace(/'\/proc\/self\/fd\/[^']*'/, `'${directory}'`)
  return new MountError('MOUNT_FAILED', `cannot prepare the mount point ${directory}: ${reason}`, { cause: error })
}
