/**
 * Owner and mode of a database, which travel with it: in the stream, and in the metadata of the backup's objects. With
 * them travel those of the directories above it, because SQLite makes journals there.
 */

import { dirname } from 'node:path'
import { errorCode } from '../util/errors.ts'
import type { FilesBeneath } from '../util/files-beneath.ts'
import { formatOwner, type Owner, ownerOf, parseOwner } from '../util/owner.ts'

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

/** Gives a database, and those beside it that exist, to their owner. Returns why that was not possible. */
export function giveDatabase(files: FilesBeneath, path: string, { file }: OwnerWish): string | undefined {
  const reasons = ['', ...SIDE_FILES].map((suffix) => whereNamed(() => files.setOwner(path + suffix, file)))
  return reasons.find((reason) => reason !== undefined)
}

/** The directories that ltxd makes for a database. Returns why they could not be given to their owners. */
export function giveFolders(files: FilesBeneath, root: string, name: string, wish: OwnerWish): string | undefined {
  const reasons = foldersOf(root, name).map((path, i) => {
    const owner = wish.folders[i]
    return owner === undefined ? undefined : whereNamed(() => files.setOwnerAsMade(path, owner))
  })
  return reasons.find((reason) => reason !== undefined)
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
