/**
 * Whose symbolic links are followed on the way to what a person names: those of root and of this user, where no other
 * user can have moved them to. A link in a directory of mode 1777 may have been made elsewhere, and moved there; so may
 * a directory with a link in it.
 */

import fs from 'node:fs'
import { errorCode } from './errors.ts'
import { isOurs } from './owner.ts'

type Owned = Pick<fs.BigIntStats, 'uid' | 'gid' | 'mode'>

const GROUP_WRITES = 0o020n
const OTHERS_WRITE = 0o002n
const STICKY = 0o1000n

/** Whether a link in the directory of this descriptor is one of root's or this user's. */
export function isTrusted(link: Owned, directory: number): boolean {
  const at = `/proc/self/fd/${directory}`
  const above = fs.fstatSync(directory, { bigint: true })
  const owns = ({ uid }: Owned) => isOurs(uid) || uid === UNMAPPED
  if (isWritable(above) || !isFixed(at, { owns })) return false
  if (isOurs(link.uid)) return isOurs(above.uid)
  return link.uid === UNMAPPED && above.uid === UNMAPPED && !mayWrite(directory)
}

export interface FixedOptions {
  /** Whether nobody else has the rights of a directory's owner. */
  readonly owns?: (directory: Owned) => boolean
  /** A group that may write to the directories above. */
  readonly writers?: bigint
}

/**
 * Whether no other user can put another directory in the place of this one: each above it is root's or this user's, and
 * nobody else may write to it, unless it is sticky, so that nobody else may rename what is in it. There, one that seems
 * to be root's can be of any user whom this user namespace does not have.
 */
export function isFixed(directory: string, { owns = ({ uid }) => isOurs(uid), writers }: FixedOptions = {}): boolean {
  try {
    let at = directory
    for (let below = fs.statSync(at, { bigint: true }); owns(below);) {
      at += '/..'
      const above = fs.statSync(at, { bigint: true })
      if (above.ino === below.ino && above.dev === below.dev) return true
      const isSticky = (above.mode & STICKY) !== 0n && below.uid !== UNMAPPED
      if (!isSticky && isWritable(above, writers)) return false
      below = above
    }
    return false
  } catch (error) {
    if (errorCode(error) === undefined) throw error
    return false
  }
}

/**
 * A group that has the number of its user is that user's alone. Root's is not: it has members, and with an access
 * control list, what looks like the rights of the group are those of others. In a namespace without root, 0 is no root.
 */
function isWritable({ uid, gid, mode }: Owned, writers?: bigint): boolean {
  const isUsers = gid === uid && uid !== UNMAPPED && (uid !== 0n || UNMAPPED !== undefined)
  const isAlone = isUsers || gid === writers
  return (mode & OTHERS_WRITE) !== 0n || ((mode & GROUP_WRITES) !== 0n && !isAlone)
}

function mayWrite(directory: number): boolean {
  try {
    fs.accessSync(`/proc/self/fd/${directory}`, fs.constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** The id with which files of root's appear, where this is a user namespace that does not have root. */
const UNMAPPED = unmappedId()

function unmappedId(): bigint | undefined {
  try {
    const overflow = BigInt(fs.readFileSync('/proc/sys/kernel/overflowuid', 'utf8').trim())
    return unmapped(fs.readFileSync('/proc/self/uid_map', 'utf8'), overflow)
  } catch {
    return undefined
  }
}

/** undefined where the namespace has root, or a user of that id. Exported for its test. */
export function unmapped(uidMap: string, overflow: bigint): bigint | undefined {
  const ranges = uidMap
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(BigInt) as [inside: bigint, outside: bigint, count: bigint])
  const isMapped = ranges.some(([inside, , count]) => overflow >= inside && overflow < inside + count)
  const hasRoot = ranges.some(([, outside]) => outside === 0n)
  return isMapped || hasRoot ? undefined : overflow
}
