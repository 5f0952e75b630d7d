/**
 * Opens what ltxd made to the group that a mode lets in. The directory in which something is made may belong to another
 * user, who chose a group for it (setgid) or an access control list: neither is what the configuration says.
 */

import fs from 'node:fs'
import { chmod, chown, stat } from 'node:fs/promises'
import { dropLists, dropListsMeanwhile } from './acl.ts'
import { isFixed } from './trusted-link.ts'

const S_ISGID = 0o2000
const OTHERS = 0o077
const GROUP = 0o070
const SPECIAL = 0o7000

/** The group of what is made in a directory. */
export interface Group {
  readonly gid: number
  /** S_ISGID where directories hand it down, or 0. */
  readonly special: number
}

/** That of the directory. Where another user could have chosen it: that of this process. */
export function groupIn(directory: string): Group {
  const { gid, mode } = fs.statSync(directory)
  // Its own group may write to those above: it gains nothing by another directory of that group.
  if (!isFixed(directory, { writers: BigInt(gid) })) return { gid: process.getegid?.() ?? 0, special: 0 }
  return { gid, special: mode & S_ISGID }
}

/**
 * Gives a file or directory of this user's a mode that lets others in. What it inherited goes: an access control list,
 * and any other group. The group gets nothing where that is not possible.
 */
export function letIn(fd: number, mode: number, group: Group): void {
  const at = `/proc/self/fd/${fd}`
  const found = fs.fstatSync(fd)
  const isPlain = dropLists(at)
  const isGroups = found.gid === group.gid || isDone(() => fs.chownSync(at, found.uid, group.gid))
  fs.chmodSync(at, modeOf(found, mode, group, isPlain, isGroups))
}

/** The same in other threads, because a network disk may take its time. */
export async function letInMeanwhile(fd: number, mode: number, group: Group): Promise<void> {
  const at = `/proc/self/fd/${fd}`
  const found = await stat(at)
  const isPlain = await dropListsMeanwhile(at)
  const isGroups =
    found.gid === group.gid ||
    (await chown(at, found.uid, group.gid).then(
      () => true,
      () => false,
    ))
  await chmod(at, modeOf(found, mode, group, isPlain, isGroups))
}

function modeOf(found: fs.Stats, mode: number, { special }: Group, isPlain: boolean, isGroups: boolean): number {
  const kept = found.isDirectory() ? (found.mode & SPECIAL & ~S_ISGID) | special : 0
  // Where everybody may do the same, it does not matter whose the group is.
  const ofAll = mode & (((mode & 0o007) << 3) | ~GROUP)
  return kept | (isPlain ? (isGroups ? mode : ofAll) : mode & ~OTHERS)
}

function isDone(run: () => void): boolean {
  try {
    run()
    return true
  } catch {
    return false
  }
}
