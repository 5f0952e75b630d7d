/**
 * Owner and mode of a database, which travel with it: in the stream, and in the metadata of the backup's objects. With
 * them travel those of the directories above it, because SQLite makes journals there.
 */

import fs from 'node:fs'
import { dirname } from 'node:path'
import { WRITABLE_BY_OWNER } from '../util/directories.ts'
import { errorCode } from '../util/errors.ts'
import type { FilesBeneath } from '../util/files-beneath.ts'
import { formatOwner, giveTo, isAsMade, type Owner, ownerOf, parseOwner } from '../util/owner.ts'

export interface DatabaseOwner {
  readonly file: Owner
  /** From the root of the mount down to the database's directory. Empty where they are not known. */
  readonly folders: Owner[]
}

/** What is to be given to a database that appears on this node; what is absent stays as it is. */
export interface OwnerWish {
  readonly file: Partial<Owner>
  readonly folders: readonly Partial<Owner>[]
}

export const NO_WISH: OwnerWish = { file: {}, folders: [] }

/** Directories above a database whose owners travel. Below more of them, none do. */
export const MAX_FOLDERS = 32
/** SQLite gives these the owner and mode of their database. */
const SIDE_FILES = ['-wal', '-shm', '-journal']

/** undefined where there is no such file. */
export function readFileOwner(files: FilesBeneath, path: string): Owner | undefined {
  const found = whereNamed(() => files.status(path))
  return found?.isFile() === true ? ownerOf(found) : undefined
}

/** The owners of the directories from `root` down to the one of database `name`. */
export function readFolders(files: FilesBeneath, root: string, name: string): Owner[] {
  const paths = foldersOf(root, name)
  if (paths.length > MAX_FOLDERS) return []
  const found = paths.map((path) => whereNamed(() => files.status(path)))
  return found.every((status) => status !== undefined) ? found.map(ownerOf) : []
}

/**
 * Gives a database, and those beside it that exist, to their owner. What another user has made beside it stays his: it
 * would look like a file of ltxd's, and he may have it open. Returns why that was not possible.
 */
export function giveDatabase(files: FilesBeneath, path: string, { file }: OwnerWish): string | undefined {
  const owners = [0, process.geteuid?.(), readFileOwner(files, path)?.uid]
  const isOurs = (side: string) => owners.includes(readFileOwner(files, side)?.uid)
  const beside = SIDE_FILES.map((suffix) => path + suffix).filter(isOurs)
  const reasons = [path, ...beside].map((each) => whereNamed(() => files.setOwner(each, file)))
  return reasons.find((reason) => reason !== undefined)
}

/**
 * Makes the missing directories above a database, and gives these, and no other, to their owners: what a peer or a
 * backup says decides nothing about directories that were here before. The root of the mount counts as made here while
 * it is empty. Returns why they could not be given.
 */
export function makeFolders(files: FilesBeneath, root: string, name: string, wish: OwnerWish): string | undefined {
  const paths = foldersOf(root, name)
  const reasons: (string | undefined)[] = []
  const give = (fd: number, path: string) => {
    const owner = wish.folders[paths.indexOf(path)]
    if (owner !== undefined && isNew(fd)) reasons.push(giveTo(fd, owner))
  }
  const fd = files.openDirectory(root)
  try {
    give(fd, root)
  } finally {
    fs.closeSync(fd)
  }
  files.makeDirectory(dirname(`${root}/${name}`), WRITABLE_BY_OWNER, give)
  return reasons.find((reason) => reason !== undefined)
}

/** Another user may have put another directory in the place of a new one: nothing is in it, or it is not given. */
function isNew(fd: number): boolean {
  return isAsMade(fs.fstatSync(fd)) && fs.readdirSync(`/proc/self/fd/${fd}`).length === 0
}

export function formatFolders(folders: readonly Owner[]): string {
  return folders.map(formatOwner).join(',')
}

/** Empty where one of them is no owner, or there are too many. */
export function parseFolders(text: string): Owner[] {
  const parts = text.split(',')
  const owners = parts.length > MAX_FOLDERS ? [] : parts.map(parseOwner)
  return owners.filter((owner) => owner !== undefined).length === parts.length ? (owners as Owner[]) : []
}

function foldersOf(root: string, name: string): string[] {
  const paths: string[] = []
  for (let at = dirname(`${root}/${name}`); at.length > root.length; at = dirname(at)) paths.unshift(at)
  return [root, ...paths]
}

/** undefined for a name that is gone, or was replaced by a link or the like: nothing is done there. */
function whereNamed<T>(run: () => T): T | undefined {
  try {
    return run()
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'NAME_IS_LINK', 'NOT_REGULAR'].includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}
