/**
 * Whose the followed file is. Another user may write to its directory, and puts a file there that is readable for him,
 * his own or one of this user's: it must neither get the database's transactions, nor say who may read the next one.
 */

import type fs from 'node:fs'
import { basename } from 'node:path'
import type { Applier } from '../apply/applier.ts'
import { bindingOf, type PositionFile } from '../apply/positions.ts'
import { giveTo, isOurs, ownerOf } from '../util/owner.ts'
import type { BackupSource } from './backup-source.ts'
import { ForeignFileError } from './errors.ts'
import type { Place } from './place.ts'

/** A file that is replaced, and whether it is the one that this user restored there. */
export interface Former {
  readonly stats: fs.Stats
  readonly isKnown: boolean
}

/**
 * What the record of positions says of the restored file that it is for. Databases of two backups can have one name,
 * and another user can move a file with its record.
 */
export function binding(place: Place, { store, database }: BackupSource, { ino }: fs.Stats): string {
  return bindingOf([store.url, database, place.resolved, basename(place.path), String(ino)])
}

/** Throws ForeignFileError where the open file need not be one that this user, or a follower of this user, made. */
export function assertOurs(
  place: Place,
  { path, position, stats }: Applier,
  positions: PositionFile,
  of: BackupSource,
): void {
  if (stats.nlink > 1) throw new ForeignFileError(path, 'is a hard link to a file that has another name, too')
  // A restore appears when it is complete: no follower leaves an empty file.
  if (position.txid === 0n) throw new ForeignFileError(path, 'is empty')
  if (place.isClosed) return
  const { uid } = stats
  if (!isOurs(uid)) {
    throw new ForeignFileError(path, `belongs to user ${uid}, and its directory is not this user's alone`)
  }
  if (positions.isOwn && positions.isBoundTo(binding(place, of, stats), stats)) return
  throw new ForeignFileError(path, `is not the file that ${positions.path} was made for`)
}

/** The file at the place, before it is renamed. */
export function formerOf(place: Place, applier: Applier | undefined, positions: PositionFile): Former | undefined {
  const stats = place.status()
  if (stats === undefined) return undefined
  const isOpen = stats.dev === applier?.stats.dev && stats.ino === applier.stats.ino
  return { stats, isKnown: isOpen && positions.isOwn && stats.uid === process.geteuid?.() }
}

/**
 * Gives a restored file the mode of the one that it replaces and, as root, its owner: whoever could read that reads on.
 * It stays private where that is not possible, where the former file is no regular one, and where another user may have
 * put it there: by its name alone, a file in a directory that others may write to says nothing.
 */
export function takeOver(place: Place, fd: number, { stats, isKnown }: Former): void {
  if (!stats.isFile() || stats.nlink > 1 || !(isKnown || place.isClosed)) return
  const { mode, ...ids } = ownerOf(stats)
  giveTo(fd, process.geteuid?.() === 0 ? { mode, ...ids } : { mode })
}
