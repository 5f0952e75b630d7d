/**
 * Names below a store's directory. Others may write there, and make links: each directory on the way is opened by the
 * descriptor of the one before, and no link is followed. The store's own directory is found as
 * util/named-directory.ts does. Unlike util/files-beneath.ts, nothing here waits for a slow disk.
 */

import fs from 'node:fs'
import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isMissing, linkStatus, statFile, syncDirectory } from '../../util/directories.ts'
import { errorCode } from '../../util/errors.ts'
import { nodeFiles } from '../../util/files.ts'
import { LinkedNameError, NotRegularError } from '../../util/files-beneath.ts'
import { groupIn, letInMeanwhile } from '../../util/group.ts'
import { findDirectory, makeNamedDirectory, O_PATH } from '../../util/named-directory.ts'
import { isWider, PRIVATE } from '../../util/private-files.ts'

const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = fs.constants

/**
 * Runs `use` with a path of the store's directory that names it until `use` ends. undefined: it does not exist. With
 * `make` it is made with that mode, and what is missing above it. Throws ForeignLinkError.
 */
export async function withRoot<T>(
  root: string,
  use: (at: string) => Promise<T>,
  make?: number,
): Promise<T | undefined> {
  const fd = await openRoot(root, make)
  if (fd === undefined) return undefined
  try {
    return await use(`/proc/self/fd/${fd}`)
  } catch (error) {
    throw named(error, `/proc/self/fd/${fd}`, root)
  } finally {
    fs.closeSync(fd)
  }
}

async function openRoot(root: string, make?: number): Promise<number | undefined> {
  // Another thread waits if the disk does not answer.
  await statFile(root)
  return make === undefined ? findDirectory(root) : makeRoot(root, make)
}

async function makeRoot(root: string, mode: number): Promise<number> {
  let isMade = false
  const fd = makeNamedDirectory(root, PRIVATE.directory, (parent) => {
    isMade = true
    makeDurable(parent)
  })
  // Wider than for one user is what the configuration says, whatever the umask.
  if (isMade && isWider(mode)) await letInMeanwhile(fd, mode, groupIn(`/proc/self/fd/${fd}/..`))
  return fd
}

/**
 * Runs `use` with a path of the file `key`, whose directory is held until `use` ends. undefined: there is no such
 * directory. With `make`, missing directories are made with that mode. Throws LinkedNameError, ForeignLinkError.
 */
export async function within<T>(
  root: string,
  key: string,
  use: (path: string) => Promise<T>,
  make?: number,
): Promise<T | undefined> {
  const names = key.split('/')
  const last = names.pop() ?? ''
  const below = async (at: string) => {
    let directory = at
    let held: FileHandle | undefined
    try {
      for (const name of names) {
        const next = await openDirectory(directory, name, { make, path: join(root, key), root })
        await held?.close()
        held = next
        if (next === undefined) return undefined
        directory = `/proc/self/fd/${next.fd}`
      }
      return await use(`${directory}/${last}`)
    } catch (error) {
      throw named(error, directory, dirname(join(root, key)))
    } finally {
      await held?.close()
    }
  }
  return withRoot(root, below, make)
}

/** A directory that is the same until it is closed, whatever has its name. */
export interface HeldDirectory {
  readonly at: string
  /** For messages. */
  readonly path: string
  close(): Promise<void>
}

/** The store's own directory. undefined: it does not exist. Throws ForeignLinkError. */
export async function holdRoot(root: string): Promise<HeldDirectory | undefined> {
  const fd = await openRoot(root)
  if (fd === undefined) return undefined
  return { at: `/proc/self/fd/${fd}`, path: root, close: async () => fs.closeSync(fd) }
}

/** The directory `name` in another. undefined: there is none. Throws LinkedNameError. */
export async function holdBelow(root: string, parent: HeldDirectory, name: string): Promise<HeldDirectory | undefined> {
  const path = join(parent.path, name)
  try {
    const handle = await openDirectory(parent.at, name, { make: undefined, path, root })
    return handle && { at: `/proc/self/fd/${handle.fd}`, path, close: () => handle.close() }
  } catch (error) {
    throw named(error, parent.at, parent.path)
  }
}

interface Way {
  readonly make: number | undefined
  /** Of the file, for messages. */
  readonly path: string
  readonly root: string
}

/**
 * The directory `name` in `at`, by an O_PATH descriptor; undefined if there is none. With `make` it is made, durably,
 * with that mode. Throws LinkedNameError; a system error for what is no directory, with `make`.
 */
async function openDirectory(at: string, name: string, { make, path, root }: Way): Promise<FileHandle | undefined> {
  const find = () => open(`${at}/${name}`, O_PATH | O_DIRECTORY | O_NOFOLLOW)
  let isMade = false
  try {
    return await find()
  } catch (error) {
    const found = errorCode(error) === 'ENOTDIR' ? await linkStatus(`${at}/${name}`) : undefined
    if (found?.isSymbolicLink() === true) throw new LinkedNameError(path, name, root)
    if (make === undefined && isMissing(error)) return undefined
    if (errorCode(error) !== 'ENOENT') throw error
  }
  await mkdir(`${at}/${name}`, { mode: PRIVATE.directory }).then(
    () => (isMade = true),
    (error: unknown) => {
      if (errorCode(error) !== 'EEXIST') throw error
    },
  )
  const made = await find()
  if (isMade && make !== undefined && isWider(make)) await letInMeanwhile(made.fd, make, groupIn(at))
  await syncDirectory(at)
  return made
}

function makeDurable(parent: number): void {
  nodeFiles.syncDirectory(`/proc/self/fd/${parent}`)
}

/** Opens a regular file to read. Waits for no other end of a pipe. Throws NotRegularError, and ELOOP for a link. */
export async function openRegular(path: string): Promise<FileHandle> {
  const handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  const found = await handle.stat()
  if (found.isFile()) return handle
  await handle.close()
  throw new NotRegularError(path, found)
}

/** An error names the file as the caller knows it. */
export function named(error: unknown, held: string, directory: string): unknown {
  if (error instanceof Error) error.message = error.message.replaceAll(`${held}/`, `${directory}/`)
  return error
}
