/**
 * A database file that a person names. As SQLite does, a link is followed, and journal and WAL lie beside the real
 * file; but a link of another user is an error. The directory is held: what takes its place meanwhile is not used.
 */

import fs from 'node:fs'
import { join } from 'node:path'
import { SIDE_SUFFIXES } from '../apply/beside.ts'
import { type FilesBeneath, filesBeneath, NotRegularError } from '../util/files-beneath.ts'
import { type Entry, findEntry, pathOf } from '../util/named-directory.ts'
import { native } from '../util/path-bytes.ts'
import { PRIVATE } from '../util/private-files.ts'
import { NotFileError } from './input.ts'

export interface NamedDatabase {
  /** The real path, for `files` and for messages. */
  readonly path: string
  /** Opens the database and the files beside it. */
  readonly files: FilesBeneath
  /** A path of the held directory. */
  readonly directory: string
  close(): void
}

/** Throws ForeignLinkError, LinkedNameError, NotRegularError, NotFileError, and system errors. */
export function findDatabase(named: string): NamedDatabase {
  const { parent, name } = findEntry(named, { isFound: isNoLink })
  try {
    const directory = `/proc/self/fd/${parent}`
    const root = pathOf(parent)
    const path = join(root, name)
    const files = filesBeneath(root, PRIVATE, `${directory}/.`)
    const found = files.status(path)
    if (found === undefined) throw missing(named)
    if (!found.isFile()) throw new NotFileError(found)
    for (const suffix of SIDE_SUFFIXES) {
      const beside = files.status(path + suffix)
      if (beside?.isFile() === false) throw new NotRegularError(path + suffix, beside)
    }
    return { path, files, directory, close: () => fs.closeSync(parent) }
  } catch (error) {
    fs.closeSync(parent)
    throw error
  }
}

function isNoLink({ parent, name }: Entry): boolean {
  const found = fs.lstatSync(native(`/proc/self/fd/${parent}/${name}`), { throwIfNoEntry: false })
  return found?.isSymbolicLink() !== true
}

function missing(path: string): Error {
  const error = new Error(`ENOENT: no such file or directory, open '${path}'`)
  return Object.assign(error, { code: 'ENOENT', syscall: 'open' })
}
