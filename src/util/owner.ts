/** Owner and permissions of files, as numbers: names of users differ between machines. */

import fs from 'node:fs'
import { WRITABLE_BY_OWNER } from './directories.ts'
import { errorCode } from './errors.ts'

export interface Owner {
  readonly uid: number
  readonly gid: number
  /** Permission bits, at most 0777: never set-id bits or the sticky bit. */
  readonly mode: number
}

const PERMISSIONS = 0o777
const SPECIAL = 0o7000
const GROUP = 0o070
const GROUP_AND_OTHERS = 0o077
/** 2^32 - 1 means "unchanged" to chown(2). */
export const MAX_ID = 2 ** 32 - 2
/** The mode in which this process makes directories on the mount. */
const DIRECTORY_AS_MADE = WRITABLE_BY_OWNER & ~process.umask()

/** Whether the user is this one, or root, who may do anything here anyway. */
export const isOurs = (uid: bigint | number): boolean => Number(uid) === 0 || Number(uid) === process.geteuid?.()

const SELF = { uid: process.geteuid?.() ?? 0, isRoot: (process.geteuid?.() ?? 0) === 0 }
/** Without these, a user other than root could not open its own file again. */
const OWN_ACCESS = 0o600

export function ownerOf({ uid, gid, mode }: Owner): Owner {
  return { uid, gid, mode: mode & PERMISSIONS }
}

export function sameOwner(a: Owner, b: Owner): boolean {
  return a.uid === b.uid && a.gid === b.gid && a.mode === b.mode
}

/** Whether the owner and mode of a file keep users out who could open it with its former ones. */
export function isNarrower(now: Owner, former: Owner): boolean {
  const isAnothers = now.uid !== former.uid && former.uid !== 0 && former.uid !== SELF.uid
  const isAnotherGroups = now.gid !== former.gid && (former.mode & GROUP) !== 0
  return isAnothers || isAnotherGroups || (former.mode & ~now.mode & GROUP_AND_OTHERS) !== 0
}

/** `65534:65534:640`, the mode in octal. */
export function formatOwner({ uid, gid, mode }: Owner): string {
  return `${uid}:${gid}:${mode.toString(8)}`
}

/** undefined where it is no owner. Drops set-id bits and the sticky bit. */
export function parseOwner(text: string): Owner | undefined {
  const match = /^(\d{1,10}):(\d{1,10}):([0-7]{1,4})$/.exec(text)
  if (match === null) return undefined
  const [uid, gid] = [Number(match[1]), Number(match[2])]
  return uid <= MAX_ID && gid <= MAX_ID
    ? { uid, gid, mode: Number.parseInt(match[3] ?? '', 8) & PERMISSIONS }
    : undefined
}

/** Whether a directory still is as this process makes directories. */
export function isAsMade({ uid, mode }: Owner): boolean {
  return uid === SELF.uid && (mode & PERMISSIONS) === DIRECTORY_AS_MADE
}

/**
 * Gives the file or directory of a descriptor to `owner`; what `owner` lacks stays as it is. Returns why that was not
 * possible, and then nothing has changed. The descriptor may be one of O_PATH.
 */
export function giveTo(fd: number, owner: Partial<Owner>): string | undefined {
  // Linux changes no file through a descriptor of O_PATH itself, but the descriptor's name is this one file.
  const at = `/proc/self/fd/${fd}`
  const found = fs.fstatSync(fd)
  const now = ownerOf(found)
  const wanted = { ...now, ...owner }
  if (sameOwner(now, wanted)) return undefined
  const isOwner = now.uid === wanted.uid && now.gid === wanted.gid
  const obstacle = found.isFile() && found.nlink > 1 ? hardLinked(now, wanted) : obstacleTo(now, wanted, isOwner)
  if (obstacle !== undefined) return obstacle
  const special = found.isDirectory() ? found.mode & SPECIAL : 0
  try {
    // Between the two calls nobody gets in whom neither the former owner nor the new one lets in.
    if (!isOwner && (now.mode & ~0o700) !== 0) fs.chmodSync(at, special | (now.mode & 0o700))
    if (!isOwner) fs.chownSync(at, wanted.uid, wanted.gid)
    fs.chmodSync(at, special | wanted.mode)
    return undefined
  } catch (error) {
    const code = errorCode(error)
    if (code === undefined) throw error
    if (!isOwner) restoreMode(fd, found)
    return `${shown(now)} stays, not ${shown(wanted)}: chown fails with ${code}`
  }
}

/** Best effort: what is left otherwise is narrower. */
function restoreMode(fd: number, { uid, mode }: fs.Stats): void {
  try {
    const now = fs.fstatSync(fd)
    if (now.uid === uid && now.mode !== mode) fs.chmodSync(`/proc/self/fd/${fd}`, mode & (PERMISSIONS | SPECIAL))
  } catch (error) {
    if (errorCode(error) === undefined) throw error
  }
}

/** The other name may be in a place where the file was not to change. */
function hardLinked(now: Owner, wanted: Owner): string {
  return `${shown(now)} stays, not ${shown(wanted)}: the file is a hard link to one that has another name, too`
}

function obstacleTo(now: Owner, wanted: Owner, isOwner: boolean): string | undefined {
  if (SELF.isRoot) return undefined
  const kept = `${shown(now)} stays, not ${shown(wanted)}`
  if (!isOwner || now.uid !== SELF.uid) return `${kept}: only root can give files away`
  return (wanted.mode & OWN_ACCESS) === OWN_ACCESS ? undefined : `${kept}: ltxd itself could not open it`
}

function shown({ uid, gid, mode }: Owner): string {
  return `${uid}:${gid} with mode ${mode.toString(8).padStart(4, '0')}`
}
