/** Reading and changing the attributes of backing files, by descriptor when there is one, and never through a symlink. */

import fs from 'node:fs'
import type { AttributeChange } from '../filesystem.ts'

const SET_USER_ID = 0o4000
export const SET_GROUP_ID = 0o2000
const GROUP_EXECUTE = 0o010
const PERMISSION_BITS = 0o7777

/** Where a backing file can be reached: its descriptor while it is open, else its path. */
export interface Reach {
  readonly fd: number | undefined
  readonly path: string
}

export function readAttributes(reach: Reach): fs.Stats {
  return reach.fd === undefined ? fs.lstatSync(reach.path) : fs.fstatSync(reach.fd)
}

/** The mode without the bits that a write or truncation takes away; as the kernel does it for its own file systems. */
export function withoutPrivileges(mode: number): number {
  // set-group-id without group execution meant mandatory locking, and stays
  const setGroupId = (mode & GROUP_EXECUTE) !== 0 ? SET_GROUP_ID : 0
  return mode & ~(SET_USER_ID | setGroupId)
}

export function changeMode(reach: Reach, mode: number): void {
  const bits = mode & PERMISSION_BITS
  if (reach.fd !== undefined) fs.fchmodSync(reach.fd, bits)
  else if (!fs.lstatSync(reach.path).isSymbolicLink()) fs.chmodSync(reach.path, bits) // chmod would follow it
}

/** Undefined leaves the owner or the group as it is. The backing file system clears set-id bits by itself. */
export function changeOwner(reach: Reach, uid: number | undefined, gid: number | undefined): void {
  if (reach.fd !== undefined) fs.fchownSync(reach.fd, uid ?? -1, gid ?? -1)
  else fs.lchownSync(reach.path, uid ?? -1, gid ?? -1)
}

/** A time that is not given stays as it is. */
export function changeTimes(reach: Reach, change: AttributeChange): void {
  const now = change.atime === undefined || change.mtime === undefined ? readAttributes(reach) : undefined
  const atime = nodeTime(change.atime ?? (now?.atimeMs ?? 0) / 1000)
  const mtime = nodeTime(change.mtime ?? (now?.mtimeMs ?? 0) / 1000)
  if (reach.fd !== undefined) fs.futimesSync(reach.fd, atime, mtime)
  else fs.lutimesSync(reach.path, atime, mtime)
}

/** Seconds as Node takes them: it would read a negative number as "now", but a Date not. */
function nodeTime(seconds: number): number | Date {
  const LIMIT = 8.64e12
  return seconds >= 0 ? Math.min(seconds, LIMIT) : new Date(Math.max(seconds, -LIMIT) * 1000)
}
