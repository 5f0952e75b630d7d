/**
 * Where a journal says that its super-journal lies, and whether it is still there. While it exists the transaction over
 * several databases is not committed; its removal commits them all. SQLite makes it beside the main database of the
 * connection, which may be on this mount, on another one, or in a plain directory, and writes its absolute path, as the
 * application saw it, into each journal.
 */

import fs from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { filesBelow } from '../capture/find-databases.ts'
import { readSuperName } from '../sqlite/journal.ts'
import type { Files } from '../util/files.ts'
import { readerOf, withFile } from '../util/files.ts'
import { directoryAs, type SeenDirectory, type User } from '../util/look-as.ts'

/** `unreachable`: its directory, or the main database in it, is missing, so nobody can tell. */
export type SuperJournalState = 'present' | 'gone' | 'unreachable'

export interface SuperJournalPlace {
  readonly files: Files
  /** The backing directory. */
  readonly root: string
  /** Where applications see the backing directory; undefined where that is not known. */
  readonly mountDir: string | undefined
}

/** The main database's name comes before it (vdbeaux.c, vdbeCommit). */
const SUFFIX = /-mj[0-9A-F]{6}9[0-9A-F]{2}$/

/**
 * Looks in the very directory that the name says, where the `author` of the journal could look, too: otherwise the
 * outcome of the transaction would tell which files others have.
 */
export function findSuperJournal(place: SuperJournalPlace, name: string, author: User): SuperJournalState {
  const { files, root, mountDir } = place
  const directory = directoryAs(author, name)
  const below = mountDir === undefined ? undefined : nameBelow(mountDir, name, directory)
  if (below !== undefined) return stateOnMount(place, below)
  if (directory?.exists === true) {
    if (exists(join(directory.path, basename(name)))) return 'present'
    if (!SUFFIX.test(name) || exists(join(directory.path, basename(mainDatabase(name))))) return 'gone'
  }
  // The mount may have had another path where the application ran: in a container, or before it was moved.
  const moved = suffixesOf(name).find((path) => isMainDatabase(place, path, name))
  if (moved === undefined) return 'unreachable'
  return files.exists(`${root}/${moved}`) ? 'present' : 'gone'
}

/** All of the mount is in the backing directory: what is not there is gone, unless its directory was renamed. */
function stateOnMount({ files, root }: SuperJournalPlace, path: string): SuperJournalState {
  if (files.exists(`${root}/${path}`)) return 'present'
  const directory = dirname(path)
  if (directory === '.' || files.exists(`${root}/${directory}`)) return 'gone'
  return filesBelow(root, '').some((name) => basename(name) === basename(path)) ? 'present' : 'gone'
}

/** The path below the mount of the file that an application called `name`; undefined if it lies elsewhere. */
function nameBelow(mountDir: string, name: string, directory: SeenDirectory | undefined): string | undefined {
  const paths = [name, ...(directory === undefined ? [] : [join(directory.path, basename(name))])]
  for (const dir of new Set([mountDir, dirname(resolved(`${mountDir}/${basename(name)}`))])) {
    for (const path of paths) if (path.startsWith(`${dir}/`)) return path.slice(dir.length + 1)
  }
  return undefined
}

/** Without symbolic links, as far as the path exists: the mount is not up yet. */
function resolved(path: string): string {
  for (let existing = dirname(path), rest = basename(path); ;) {
    try {
      return join(fs.realpathSync(existing), rest)
    } catch {
      if (existing === '/' || existing === '.') return path
      rest = join(basename(existing), rest)
      existing = dirname(existing)
    }
  }
}

/** The path, and what is left of it without its first, its first two components … */
function suffixesOf(name: string): string[] {
  const parts = name.split('/').filter((part) => part !== '')
  return parts.map((_, i) => parts.slice(i).join('/'))
}

/**
 * Whether the super-journal that an application called `name` was made at `path` of the backing directory. That is sure
 * if the journal of the main database there names the same one.
 */
function isMainDatabase({ files, root, mountDir }: SuperJournalPlace, path: string, name: string): boolean {
  const main = `${root}/${mainDatabase(path)}`
  if (!files.exists(main)) return false
  return (
    mountDir === undefined || (files.exists(`${main}-journal`) && superJournalOf(files, `${main}-journal`) === name)
  )
}

function superJournalOf(files: Files, journalPath: string): string | undefined {
  return withFile(files, journalPath, fs.constants.O_RDONLY, (fd) => readSuperName(readerOf(files, fd), files.size(fd)))
}

/** The database beside which SQLite made a super-journal of that name; the directory if another program named it. */
function mainDatabase(name: string): string {
  return SUFFIX.test(name) ? name.replace(SUFFIX, '') : dirname(name)
}

/** Of any path on this machine. False for what cannot be reached, whatever the reason. */
function exists(path: string): boolean {
  try {
    return fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined
  } catch {
    return false
  }
}

/** Why the database waits, and how to decide. */
export function undecided(name: string): { reason: string; advice: string } {
  const main = mainDatabase(name)
  return {
    reason:
      `its last transaction spans several databases, and only the super-journal ${name} tells whether it was committed; ` +
      `neither that file nor ${main}, beside which it was made, can be reached by the journal's owner`,
    advice:
      `make ${dirname(name)} available to the owner of the database and start again. To decide by hand, create the file ${name} to roll the ` +
      `transaction back, or ${main} to commit it, and start again`,
  }
}
