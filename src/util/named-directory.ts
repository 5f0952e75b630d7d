/**
 * Paths that a person names: a mount point, a data directory, a backup, a worker's output directory. They are found
 * component by component. A symbolic link on the way is followed if this user or root has made it, and no other can
 * have moved it there: any other user could lead ltxd, which may be root, to a directory that is not his.
 */

import fs from 'node:fs'
import path from 'node:path'
import { BY_UMASK } from './directories.ts'
import { errorCode, LtxdError } from './errors.ts'
import { groupIn, letIn } from './group.ts'
import { isOurs } from './owner.ts'
import { native } from './path-bytes.ts'
import { isTrusted } from './trusted-link.ts'

const { O_DIRECTORY, O_NOFOLLOW } = fs.constants
/** From <fcntl.h>; Node has no constant for it. The descriptor refers to a file without opening it. */
export const O_PATH = 0o10000000
const MAX_SYMLINKS = 40
/** A directory is made for this user first. */
const OWNER = 0o700

/** A symbolic link on the way belongs to another user, or lies where another user may have moved it to. */
export class ForeignLinkError extends LtxdError {
  constructor(link: string, { uid, target, isMovable }: { uid: bigint; target: string; isMovable: boolean }) {
    const who = String(uid) === process.env.SUDO_UID ? ', who ran sudo' : ''
    const whose = isMovable
      ? 'at a place to which another user may write (its directory, or one above), who can have moved it there'
      : `of the user with id ${uid}${who}, who could lead ltxd anywhere`
    super('LINK_FOREIGN', `${link} is a symbolic link ${whose}: name the directory itself (it leads to ${target})`)
  }
}

/** An entry of a directory that is held by a descriptor. */
export interface Entry {
  /** An O_PATH descriptor, for the caller to close. */
  readonly parent: number
  /** `.` for the root of all files. With slashes: the first of these names does not exist. */
  readonly name: string
}

export interface FindOptions {
  /** Missing directories are made, by the umask. */
  readonly make?: boolean
  /** Called with the directory in which one was made. */
  readonly made?: (parent: number) => void
  /** Whether the last component is what was looked for, so that it is not opened. */
  readonly isFound?: (entry: Entry) => boolean
}

/** Throws ForeignLinkError, and system errors. */
export function findEntry(directory: string, { make = false, made, isFound }: FindOptions = {}): Entry {
  let at = openRoot()
  const names = namesOf(path.resolve(directory))
  try {
    for (let links = 0; links <= MAX_SYMLINKS;) {
      const name = names.shift()
      if (name === undefined) return { parent: at, name: '.' }
      const entry = { parent: at, name }
      if (names.length === 0 && isFound?.(entry) === true) return entry
      if (isMagic(entry)) {
        at = replaced(at, fs.openSync(`/proc/self/fd/${at}/${name}`, O_PATH | O_DIRECTORY))
        continue
      }
      const target = name === '..' ? path.dirname(pathOf(at)) : linkTarget(entry)
      if (target !== undefined) {
        links++
        names.unshift(...namesOf(target))
        if (path.isAbsolute(target)) at = replaced(at, openRoot())
        continue
      }
      const next = open(entry, make, made)
      if (next === undefined) return { parent: at, name: [name, ...names].join('/') }
      if (names.length > 0) at = replaced(at, next)
      else {
        fs.closeSync(next)
        return entry
      }
    }
    throw new LtxdError('LINKS_WITHOUT_END', `${directory} leads through too many symbolic links`)
  } catch (error) {
    fs.closeSync(at)
    throw renamed(error, directory)
  }
}

/**
 * An O_PATH descriptor of a directory that a person names, for the caller to close. undefined: it does not exist.
 * Throws ForeignLinkError; a system error if it is no directory.
 */
export function findDirectory(named: string, options: FindOptions = {}): number | undefined {
  let entry: Entry | undefined
  try {
    entry = findEntry(named, options)
    return entry.name.includes('/') ? undefined : openEntry(entry)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw renamed(error, named)
  } finally {
    if (entry !== undefined) fs.closeSync(entry.parent)
  }
}

/**
 * The same of a directory that is made if it is missing, and what is missing above it by the umask. Unless it is
 * BY_UMASK, it has `mode`, and no access control list; and a group of another user's choice has no part in it, however
 * narrow the mode is: what applications make below would inherit that. `made` is called with each directory in which
 * one was made.
 */
export function makeNamedDirectory(named: string, mode: number, made?: (parent: number) => void): number {
  const found = findDirectory(named)
  if (found !== undefined) return found
  const [above, name] = [path.dirname(path.resolve(named)), path.basename(path.resolve(named))]
  const parent = findDirectory(above, { make: true, ...(made && { made }) })
  if (parent === undefined) throw new LtxdError('DIRECTORY_GONE', `${above} was removed meanwhile`)
  try {
    const isOwn = mode !== BY_UMASK
    const isMade = makeOnce(`/proc/self/fd/${parent}/${name}`, isOwn ? mode & OWNER : mode)
    const directory = openEntry({ parent, name })
    // One of ltxd's own has the mode that the configuration says, whatever the umask, and whoever owns the one above.
    if (isMade && isOwn && isEmpty(directory)) letIn(directory, mode, groupIn(`/proc/self/fd/${parent}`))
    if (isMade) made?.(parent)
    return directory
  } catch (error) {
    throw renamed(error, named)
  } finally {
    fs.closeSync(parent)
  }
}

/** An O_PATH descriptor of the directory that an entry is. */
export function openEntry({ parent, name }: Entry): number {
  return fs.openSync(native(`/proc/self/fd/${parent}/${name}`), O_PATH | O_DIRECTORY | O_NOFOLLOW)
}

/** Another one that its owner has put in the place of a new one meanwhile has something in it, or nothing to hide. */
function isEmpty(directory: number): boolean {
  return fs.readdirSync(`/proc/self/fd/${directory}`).length === 0
}

/** Where a descriptor's file is now. */
export function pathOf(descriptor: number): string {
  return fs.readlinkSync(`/proc/self/fd/${descriptor}`)
}

/** undefined: it does not exist, and is not to be made. */
function open(entry: Entry, make: boolean, made?: (parent: number) => void): number | undefined {
  try {
    return openEntry(entry)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error
  }
  if (!make) return undefined
  if (makeOnce(`/proc/self/fd/${entry.parent}/${entry.name}`, BY_UMASK)) made?.(entry.parent)
  return openEntry(entry)
}

/** False if another process has made it meanwhile. */
function makeOnce(path: string, mode: number): boolean {
  try {
    fs.mkdirSync(native(path), mode)
    return true
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false
    throw error
  }
}

/** Whether it is a link of /proc to a directory of one's own process, which its text does not name. */
function isMagic({ parent, name }: Entry): boolean {
  if (!/^\/proc\/\d+(\/|$)/.test(pathOf(parent))) return false
  const link = fs.lstatSync(`/proc/self/fd/${parent}/${name}`, { throwIfNoEntry: false })
  return link?.isSymbolicLink() === true && isOurs(link.uid)
}

/** Where a symbolic link leads; undefined for anything else. */
function linkTarget({ parent, name }: Entry): string | undefined {
  const at = native(`/proc/self/fd/${parent}/${name}`)
  const status = () => fs.lstatSync(at, { bigint: true, throwIfNoEntry: false })
  const link = status()
  if (link?.isSymbolicLink() !== true) return undefined
  const target = fs.readlinkSync(at)
  const after = status()
  const isSame = after?.ino === link.ino && after.ctimeNs === link.ctimeNs
  if (isSame && isTrusted(link, parent)) return target
  const directory = pathOf(parent)
  const { uid } = after ?? link
  const leadsTo = path.resolve(directory, target)
  throw new ForeignLinkError(path.join(directory, name), { uid, target: leadsTo, isMovable: isOurs(uid) })
}

/** A system error names the directory as the caller knows it. */
function renamed(error: unknown, named: string): unknown {
  if (!(error instanceof Error) || !('path' in error) || !String(error.path).startsWith('/proc/self/fd/')) return error
  error.message = error.message.replace(`'${String(error.path)}'`, `'${named}'`)
  error.path = named
  return error
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
