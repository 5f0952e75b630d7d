/**
 * Whose the data directory is. As root, ltxd uses no directory for its data that another user owns: he could lead it
 * anywhere. Whoever runs it, a link in the place of one of its directories leads nowhere.
 */

import fs from 'node:fs'
import { LtxdError } from '../util/errors.ts'
import { type FilesBeneath, LinkedNameError } from '../util/files-beneath.ts'

/** The directories that ltxd keeps in a data directory. */
const DIRECTORIES = ['files', 'log', 'temporary', 'hydrating', 'restored', 'replacing', 'diverged', 'strays'] as const

/** Another user owns the data directory of a node that runs as root, or a directory of ltxd's own in it. */
class ForeignDataError extends LtxdError {
  constructor(path: string, uid: number) {
    super(
      'DATA_FOREIGN',
      `${path} belongs to the user with id ${uid}, who could replace what is in it while ltxd runs as root: choose ` +
        `another directory with --data, give this one to root with "chown root ${path}", or run ltxd as that user ` +
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
 * Checks the directory that is held at `at`, and the directories in it but `root`, which is the applications'. Throws
 * ForeignDataError and LinkedDataError.
 */
export function assertOwn(files: FilesBeneath, at: string, root: string): void {
  const dir = files.root
  for (const name of DIRECTORIES) assertNoLink(files, `${dir}/${name}`)
  if (process.geteuid?.() !== 0) return
  const { uid } = fs.statSync(at)
  if (uid !== 0) throw new ForeignDataError(dir, uid)
  for (const path of files.list(dir).map((name) => `${dir}/${name}`)) {
    const found = path === root ? undefined : ofDirectory(() => files.status(path))
    if (found !== undefined && found.uid !== 0) throw new ForeignDataError(path, found.uid)
  }
}

function assertNoLink(files: FilesBeneath, path: string): void {
  try {
    files.status(path)
  } catch (error) {
    throw error instanceof LinkedNameError ? new LinkedDataError(path) : error
  }
}

/** undefined for anything else: what a link or a file has in the place of a directory is checked where it is used. */
function ofDirectory(status: () => fs.Stats | undefined): fs.Stats | undefined {
  try {
    const found = status()
    return found?.isDirectory() === true ? found : undefined
  } catch (error) {
    if (error instanceof LtxdError) return undefined
    throw error
  }
}
