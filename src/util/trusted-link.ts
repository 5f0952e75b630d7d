/**
 * Whose symbolic links are followed on the way to what a person names: those of root and of this user, where no other
 * user can have moved them to. A link in a directory of mode 1777 may have been made elsewhere, and moved there.
 */

import fs from 'node:fs'

type Owned = Pick<fs.BigIntStats, 'uid' | 'gid' | 'mode'>

const SELF = BigInt(process.geteuid?.() ?? 0)
const GROUP_WRITES = 0o020n
const OTHERS_WRITE = 0o002n

/** Whether a link in the directory of this descriptor is one of root's or this user's. */
export function isTrusted(link: Owned, directory: number): boolean {
  const above = fs.fstatSync(directory, { bigint: true })
  if (isOurs(link.uid)) return isOurs(above.uid) && !isWritable(above)
  return link.uid === UNMAPPED && above.uid === UNMAPPED && !mayWrite(directory)
}

/** Whether the user is root or this one. */
export const isOurs = (uid: bigint) => uid === 0n || uid === SELF

/** A group that has the number of its user is that user's alone. */
function isWritable({ uid, gid, mode }: Owned): boolean {
  return (mode & OTHERS_WRITE) !== 0n || ((mode & GROUP_WRITES) !== 0n && gid !== uid)
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
