/**
 * Files beside a database that somebody else has made. Where others may write to the directory, one of them makes
 * `x.db-wal` before SQLite or ltxd does, and reads through his descriptor whatever is written into it later: to change
 * its owner and mode closes no descriptor. So nothing is written into such a file.
 */

import { execFileSync } from 'node:child_process'
import type { Stats } from 'node:fs'
import { isOurs } from '../util/owner.ts'

/** The rights with which SQLite writes to a database. */
const READ_WRITE = { group: 0o060, others: 0o006 } as const
const ID_MS = 5_000
const GROUP = 0o070
const OTHERS = 0o077

type Owned = Pick<Stats, 'uid' | 'gid' | 'mode'>

/**
 * Whether a file beside the database is of a user who may not write to the database. A user who may has made it as
 * SQLite does, and could read there what he writes.
 */
export function isForeign(beside: Stats, database: Owned, groups = groupsOf): boolean {
  const { uid } = beside
  if (!beside.isFile() || uid === database.uid || isOurs(uid)) return false
  const allows = (access: number) => (database.mode & access) === access
  if (allows(READ_WRITE.group) && groups(uid).includes(database.gid)) return false
  return !allows(READ_WRITE.others)
}

/**
 * Whether a file beside the database, whoever's it is, lets in users whom the database does not: one of them may have
 * it open, and have renamed it. SQLite makes these files with the mode of the database.
 */
export function letsInMore({ mode, uid, gid }: Owned, database: Owned): boolean {
  if ((mode & ~database.mode & OTHERS) !== 0) return true
  return isOurs(uid) && gid !== database.gid && (mode & GROUP) !== 0
}

/** Empty where they are not known. */
function groupsOf(uid: number): number[] {
  try {
    const stdout = execFileSync('id', ['-G', String(uid)], { timeout: ID_MS, stdio: ['ignore', 'pipe', 'ignore'] })
    return stdout.toString().trim().split(' ').map(Number)
  } catch {
    return []
  }
}
