import fs from 'node:fs'
import { dirname } from 'node:path'
import { SIDE_SUFFIXES } from '../../apply/beside.ts'
import { NotDatabaseError } from '../../apply/errors.ts'
import { makeNew } from '../../apply/make-file.ts'
import type { OwnerWish } from '../../data/database-owner.ts'
import { errorCode } from '../../util/errors.ts'
import { type FilesBeneath, NotRegularError } from '../../util/files-beneath.ts'
import { giveTo } from '../../util/owner.ts'

const IS_ROOT = process.geteuid?.() === 0
const GROUP = 0o070

/**
 * Makes the file of a database, and gives it its owner before there is anything in it or beside it. Where the owner is
 * not known, it is that of the directory: an application may run as another user than this process. Returns its
 * descriptor, and why it was not given away. Throws NotDatabaseError where somebody else's file has the name.
 */
export function makeDatabaseFile(
  files: FilesBeneath,
  path: string,
  { file }: OwnerWish,
): { readonly fd: number; readonly notGiven?: string } {
  const waiting = openWaiting(files, path, file)
  if (waiting === undefined) removeEmpty(files, path)
  const directory = files.status(dirname(path))
  const fd = waiting ?? makeNew(files, path)
  try {
    const byDirectory = file.uid === undefined && directory !== undefined && IS_ROOT
    const notGiven = giveTo(fd, byDirectory ? { uid: directory.uid, gid: directory.gid, ...file } : file)
    return notGiven === undefined ? { fd } : { fd, notGiven }
  } catch (error) {
    fs.closeSync(fd)
    throw error
  }
}

/**
 * The empty file that an application of the database's owner made when it opened the database before it arrived: it
 * sees in it what arrives. It lets nobody in who may not open the database.
 */
function openWaiting(files: FilesBeneath, path: string, { uid, gid, mode }: OwnerWish['file']): number | undefined {
  if (uid === undefined || mode === undefined || files.status(path)?.isFile() !== true) return undefined
  const fd = files.open(path, fs.constants.O_RDWR)
  const found = fs.fstatSync(fd)
  const isOwners = found.uid === uid && found.nlink === 1 && (found.mode & 0o777 & ~mode) === 0
  const isGroups = found.gid === gid || (found.mode & GROUP) === 0
  if (isOwners && isGroups && found.size === 0) return fd
  fs.closeSync(fd)
  return undefined
}

/** Somebody else has made an empty file of that name, and may have it open. */
function removeEmpty(files: FilesBeneath, path: string): void {
  const found = files.status(path)
  if (found === undefined) return
  if (!found.isFile()) throw new NotRegularError(path, found)
  if (found.size > 0) throw new NotDatabaseError(path, 'is not the database: another program made it')
  files.remove(path)
}

/**
 * Removes a database's file and what is beside it. Somebody else may have made directories of these names: an empty one
 * is removed, too. Throws NotRegularError for any other, when everything else is removed.
 */
export function removeDatabase(files: FilesBeneath, path: string): void {
  const left: unknown[] = []
  for (const each of [path, ...SIDE_SUFFIXES.map((suffix) => path + suffix)]) {
    try {
      files.remove(each)
    } catch (error) {
      if (errorCode(error) !== 'EISDIR') throw error
      left.push(...removeEmptyDirectory(files, each))
    }
  }
  if (left.length > 0) throw left[0]
}

/** Removes the empty directories that somebody else has made of the names beside a database. */
export function removeObstacles(files: FilesBeneath, path: string): void {
  for (const each of SIDE_SUFFIXES.map((suffix) => path + suffix)) {
    if (files.exists(each) && files.status(each)?.isDirectory() === true) removeEmptyDirectory(files, each)
  }
}

function removeEmptyDirectory(files: FilesBeneath, path: string): NotRegularError[] {
  try {
    files.removeDirectory(path)
    return []
  } catch (error) {
    const found = files.status(path)
    if (found === undefined) return []
    if (errorCode(error) !== 'ENOTEMPTY') throw error
    return [new NotRegularError(path, found)]
  }
}
