/** A worker's directory for restored files, which others may write to: no link below it is followed. */

import { closeSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { BY_UMASK } from '../src/util/directories.ts'
import { LtxdError } from '../src/util/errors.ts'
import { filesBeneath, withPinnedDirectory } from '../src/util/files-beneath.ts'
import { makeNamedDirectory } from '../src/util/named-directory.ts'
import { OutputError, OutputExistsError } from '../src/util/new-file.ts'
import { PRIVATE } from '../src/util/private-files.ts'

/**
 * Runs `write` with a path for the file `path` below the directory. The path stays what it is when a directory on the
 * way is renamed or replaced by a link meanwhile; its last component names nothing, or a regular file. Missing
 * directories are made. Throws LinkedNameError, OutputExistsError for what is no regular file, OutputError.
 */
export async function inOutputDirectory<T>(
  directory: string,
  path: string,
  write: (target: string) => Promise<T>,
): Promise<T> {
  const target = join(directory, path)
  const held = hold(directory, target)
  const base = `/proc/self/fd/${held}/.`
  const files = filesBeneath(directory, PRIVATE, base)
  try {
    try {
      makeDurable(dirname(target))
      if (files.status(target)?.isFile() === false) throw new OutputExistsError(target)
    } catch (error) {
      throw error instanceof LtxdError ? error : new OutputError(target, error)
    }
    return await withPinnedDirectory({ root: directory, base, path: dirname(target) }, (pinned) =>
      write(join(pinned, basename(target))),
    )
  } finally {
    closeSync(held)
  }

  function makeDurable(below: string): void {
    if (below === directory || files.exists(below)) return
    makeDurable(dirname(below))
    files.makeDirectory(below)
    files.syncDirectory(dirname(below))
  }
}

/** The directory may belong to this user in one of another's, who could put a link in its place. */
function hold(directory: string, target: string): number {
  try {
    return makeNamedDirectory(directory, BY_UMASK)
  } catch (error) {
    throw error instanceof LtxdError ? error : new OutputError(target, error)
  }
}
