/**
 * A place to mount at: an entry of a directory that is held by a descriptor. Whoever owns a directory above it can move
 * it, but cannot put another in its place.
 */

import fs from 'node:fs'
import path from 'node:path'
import { BY_UMASK } from '../../util/directories.ts'
import { errorCode, errorMessage } from '../../util/errors.ts'
import { MountError } from './mount-error.ts'
import { mountAt, type MountEntry } from './mountinfo.ts'

const { O_DIRECTORY, O_NOFOLLOW } = fs.constants
/** From <fcntl.h>; Node has no constant for it. The descriptor refers to a file without opening it. */
export const O_PATH = 0o10000000
const MAX_SYMLINKS = 40

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
    return path.join(fs.readlinkSync(`/proc/self/fd/${this.parent}`), this.name)
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
 * Finds the place component by component. A symbolic link on the way is followed if this user or root has made it: any
 * other user could exchange it for another while ltxd mounts. Does not access a file system that is mounted there. With
 * `make`, directories that are missing are made. Throws MountError.
 */
export function findPlace(directory: string, make = false): MountPlace {
  let at = openRoot()
  const names = namesOf(path.resolve(directory))
  try {
    for (let links = 0; links <= MAX_SYMLINKS;) {
      const name = names.shift()
      if (name === undefined) return new MountPlace(at, '.') // The root of all files.
      const place = new MountPlace(at, name)
      if (names.length === 0 && place.mounted !== undefined) return place
      const target = name === '..' ? path.dirname(fs.readlinkSync(`/proc/self/fd/${at}`)) : linkTarget(place)
      if (target !== undefined) {
        links++
        names.unshift(...namesOf(target))
        if (path.isAbsolute(target)) at = replaced(at, openRoot())
        continue
      }
      const next = open(place, make)
      if (next === undefined) return new MountPlace(at, [name, ...names].join('/'))
      if (names.length > 0) at = replaced(at, next)
      else {
        fs.closeSync(next)
        return place
      }
    }
    throw new MountError(
      'MOUNT_FAILED',
      `${directory} leads through too many symbolic links; name the directory itself`,
    )
  } catch (error) {
    fs.closeSync(at)
    throw explained(directory, error)
  }
}

/** An O_PATH descriptor of the directory at this place. */
export function openPlace({ parent, name }: MountPlace): number {
  return fs.openSync(`/proc/self/fd/${parent}/${name}`, O_PATH | O_DIRECTORY | O_NOFOLLOW)
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
export function atDirectory<T>(named: string, use: (path: string) => T): T | undefined {
  const place = findPlace(named)
  try {
    // Of several names the first was missing: what is there by now was not checked.
    const isOther = place.name.includes('/') || place.mounted !== undefined
    const directory = isOther ? undefined : whereDirectory(() => openPlace(place))
    if (directory === undefined) return undefined
    try {
      return use(`/proc/self/fd/${directory}`)
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
  if (errorCode(error) === 'EEXIST' || errorCode(error) === 'ENOTDIR') {
    return new MountError('MOUNT_NOT_DIRECTORY', `${directory} is not a directory; choose another mount point`)
  }
  const reason = errorMessage(error).replace(/'\/proc\/self\/fd\/[^']*'/, `'${directory}'`)
  return new MountError('MOUNT_FAILED', `cannot prepare the mount point ${directory}: ${reason}`, { cause: error })
}

/** Opens the directory at a place. undefined: it does not exist, and is not to be made. */
function open(place: MountPlace, make: boolean): number | undefined {
  try {
    return openPlace(place)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
  }
  if (!make) return undefined
  fs.mkdirSync(place.seenThrough(place.parent), BY_UMASK)
  return openPlace(place)
}

/** Where a symbolic link leads; undefined for anything else. Throws MountError for another user's. */
function linkTarget({ parent, name, path: shown }: MountPlace): string | undefined {
  const at = `/proc/self/fd/${parent}/${name}`
  const status = () => fs.lstatSync(at, { bigint: true, throwIfNoEntry: false })
  const link = status()
  if (link?.isSymbolicLink() !== true) return undefined
  const isOurs = (uid: bigint) => uid === 0n || Number(uid) === process.geteuid?.()
  // Where links of others can be hard linked, a link of root's may lie in any directory.
  const isInPlace = link.nlink === 1n || isOurs(fs.statSync(`/proc/self/fd/${parent}`, { bigint: true }).uid)
  const target = isOurs(link.uid) && isInPlace ? fs.readlinkSync(at) : undefined
  const after = status()
  if (target !== undefined && after?.ino === link.ino && after.ctimeNs === link.ctimeNs) return target
  throw new MountError(
    'MOUNT_LINK_FOREIGN',
    `${shown} is a symbolic link of the user with id ${after?.uid ?? link.uid}, who could lead the mount anywhere: ` +
      'name the directory itself',
  )
}

function openRoot(): number {
  return fs.openSync('/', O_PATH | O_DIRECTORY)
}

function replaced(old: number, next: number): number {
  fs.closeSync(old)
  return next
}

function namesOf(absoluteOrRelative: string): string[] {
  return absoluteOrRelative.split('/').filter((name) => name !== '' && name !== '.')
}
