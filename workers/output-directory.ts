/** A worker's directory for restored files, which others may write to: no link below it is followed. */

import { mkdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { BY_UMASK } from '../src/util/directories.ts'
import { LtxdError } from '../src/util/errors.ts'
import { filesBeneath, withPinnedDirectory } from '../src/util/files-beneath.ts'
import { OutputError, OutputExistsError } from '../src/util/new-file.ts'

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
  const files = filesBeneath(directory)
  try {
    await mkdir(directory, { recursive: true, mode: BY_UMASK })
    makeDurable(directory, dirname(target))
    if (files.status(target)?.isFile() === false) throw new OutputExistsError(target)
  } catch (error) {
    throw error instanceof LtxdError ? error : new OutputError(target, error)
  }
  return withPinnedDirectory(directory, dirname(target), (pinned) => write(join(pinned, basename(target))))

  function makeDurable(root: string, below: string): void {
    if (below === root || files.exists(below)) return
    makeDurable(root, dirname(below))
    files.makeDirectory(below)
    files.syncDirectory(dirname(below))
  }
}
