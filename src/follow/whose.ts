/**
 * Whose the followed file is. Another user may write to its directory, and puts a file there that is readable for him:
 * it must neither get the database's transactions, nor say who may read the next restore.
 */

import fs from 'node:fs'
import { dirname } from 'node:path'
import type { Applier } from '../apply/applier.ts'
import type { PositionFile } from '../apply/positions.ts'
import { filesBeneath } from '../util/files-beneath.ts'
import { ownerOf } from '../util/owner.ts'
import { ForeignFileError } from './errors.ts'

const WRITABLE_BY_OTHERS = 0o022

/** Throws ForeignFileError where the open file need not be one that this user, or a follower of this user, made. */
export function assertOurs({ path, position, stats }: Applier, positions: PositionFile): void {
  if (stats.nlink > 1) throw new ForeignFileError(path, 'is a hard link to a file that has another name, too')
  // A restore appears when it is complete: no follower leaves an empty file.
  if (position.txid === 0n) throw new ForeignFileError(path, 'is empty')
  if (stats.uid === process.geteuid?.() || positions.isOwn || isClosed(dirname(path))) return
  throw new ForeignFileError(path, `and ${positions.path} do not belong to this user, but to user ${stats.uid}`)
}

/** Whether the file at the applier's path is the one that it has open, by positions that only this user recorded. */
export function isKnown(file: fs.Stats, applier: Applier | undefined, positions: PositionFile): boolean {
  if (applier === undefined || !positions.isOwn) return false
  const { dev, ino } = applier.stats
  return file.dev === dev && file.ino === ino
}

/**
 * Gives a restored file the mode of the one that it replaces and, as root, its owner: whoever could read that reads on.
 * It stays private where that is not possible, where the former file is a link, and where another user may have put it
 * there: by its name alone, a file in a directory that others may write to says nothing.
 */
export function takeOver(path: string, former: fs.Stats, isKnown: boolean): void {
  if (!former.isFile() || former.nlink > 1 || !(isKnown || isClosed(dirname(path)))) return
  const { mode, ...ids } = ownerOf(former)
  filesBeneath(dirname(path)).setOwner(path, process.geteuid?.() === 0 ? { mode, ...ids } : { mode })
}

/** Only this user makes, moves and removes files in the directory. */
function isClosed(directory: string): boolean {
  const { uid, mode } = fs.statSync(directory)
  return uid === process.geteuid?.() && (mode & WRITABLE_BY_OTHERS) === 0
}
