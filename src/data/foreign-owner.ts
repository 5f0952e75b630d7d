/**
 * Whose the data directory is. As root, ltxd uses no directory for its data that another user owns: he could lead it
 * anywhere. Whoever runs it, a link in the place of one of its directories leads nowhere.
 */

import fs from 'node:fs'
import { LtxdError } from '../util/errors.ts'
import { type FilesBeneath, LinkedNameError } from '../util/files-beneath.ts'
import { listNames, native } from '../util/path-bytes.ts'

/** The directories that ltxd keeps in a data directory. */
export const DIRECTORIES = ['files', 'log', 'temporary', 'hydrating', 'restored', 'replacing', 'diverged', 'strays']
/** Their files can be an application's: with the owner that they had, or will have, on the mount. */
const WITH_FILES_OF_OTHERS: readonly string[] = ['hydrating', 'diverged']
/** Of what is in `files` the applications decide, and what is in `strays` was theirs. */
const SEARCHED: readonly string[] = DIRECTORIES.filter((name) => name !== 'files' && name !== 'strays')
/** Another user may have made any number. */
const MAX_FOREIGN = 10

/** Something belongs to another user. */
interface Foreign {
  readonly path: string
  readonly uid: number
  /** The entry of the data directory that it is, or is in. */
  readonly entry: string
}

/** Another user owns the data directory of a node that runs as root, or something of ltxd's own in it. */
class ForeignDataError extends LtxdError {
  constructor([{ path, uid }, ...more]: readonly [Foreign, ...Foreign[]], command: string) {
    const others = more.length === 0 ? '' : ` (as does ${more.map((each) => each.path).join(', ')})`
    super(
      'DATA_FOREIGN',
      `${path} belongs to the user with id ${uid}${others}, who could replace what is in it while ltxd runs as root: ` +
        `choose another directory with --data, give this one to root with "${command}", or run ltxd as that user ` +
        '(the only way on a file system that shows one owner for every file, such as vfat and CIFS with uid=)',
    )
  }
}

/** A link is in the place of a directory of ltxd's own. */
class LinkedDataError extends LtxdError {
  constructor(path: string) {
    super(
      'DATA_LINKED',
      `${path} is a symbolic link in the place of a directory of ltxd's own, and could lead it anywhere: remove the ` +
        'link (what it leads to can be moved there), or choose another directory with --data',
    )
  }
}

/**
 * Checks the directory that is held at `at`, and what is below it but `files/`, which is the applications'. Throws
 * ForeignDataError and LinkedDataError.
 */
export function assertOwn(files: FilesBeneath, at: string): void {
  const dir = files.root
  for (const name of DIRECTORIES) assertNoLink(files, `${dir}/${name}`)
  if (process.geteuid?.() !== 0) return
  const { uid } = fs.statSync(at)
  if (uid !== 0) throw new ForeignDataError([{ path: dir, uid, entry: dir }], `chown root ${dir}`)
  const [first, ...more] = firstOf(foreignIn(dir, at), MAX_FOREIGN)
  if (first === undefined) return
  const entries = new Set([first, ...more].map(({ entry }) => entry))
  throw new ForeignDataError([first, ...more], `chown -R --no-dereference root ${Array.from(entries).join(' ')}`)
}

function assertNoLink(files: FilesBeneath, path: string): void {
  try {
    files.status(path)
  } catch (error) {
    throw error instanceof LinkedNameError ? new LinkedDataError(path) : error
  }
}

/** What others have in the directory, and below it. Throws LinkedDataError for a link of theirs that is below. */
function* foreignIn(dir: string, at: string): Generator<Foreign> {
  for (const name of listNames(at)) {
    const [path, entryAt] = [`${dir}/${name}`, `${at}/${name}`]
    const found = statusOf(entryAt)
    if (name === 'files' || found === undefined || found.isSymbolicLink()) continue
    if (found.uid !== 0) yield { path, uid: found.uid, entry: path }
    else if (found.isDirectory() && SEARCHED.includes(name)) {
      const below = foreignBelow(path, entryAt, WITH_FILES_OF_OTHERS.includes(name))
      for (const each of below) yield { ...each, entry: path }
    }
  }
}

/** The directory and those above it are root's, so that nobody else replaces them meanwhile. */
function* foreignBelow(dir: string, at: string, isOfOthers: boolean): Generator<Omit<Foreign, 'entry'>> {
  for (const name of listNames(at)) {
    const [path, entryAt] = [`${dir}/${name}`, `${at}/${name}`]
    const found = statusOf(entryAt)
    if (found === undefined || (isOfOthers && found.isFile())) continue
    // One of root's is in a database's place, or in that of nothing: none is followed there.
    if (found.isSymbolicLink() && found.uid === 0) continue
    if (found.isSymbolicLink()) throw new LinkedDataError(path)
    if (found.uid !== 0) yield { path, uid: found.uid }
    else if (found.isDirectory()) yield* foreignBelow(path, entryAt, isOfOthers)
  }
}

/** Reads no more of them. */
function firstOf<T>(all: Iterable<T>, count: number): T[] {
  const found: T[] = []
  for (const each of all) if (found.push(each) >= count) break
  return found
}

const statusOf = (path: string) => fs.lstatSync(native(path), { throwIfNoEntry: false })
