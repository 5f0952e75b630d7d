/**
 * Files without a name, which vanish when they are closed, or when the process ends. The directory may be another
 * user's, who can rename and replace whatever has a name there: no path below it is used a second time.
 */

import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { errorCode } from './errors.ts'
import { O_PATH } from './named-directory.ts'
import { PRIVATE } from './private-files.ts'

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDWR } = fs.constants
/** Missing in Node's constants; the same on every architecture that Node runs on. */
const O_TMPFILE = 0o20000000 | O_DIRECTORY
/** File systems, FUSE among them, that have no files without a name. */
const UNSUPPORTED = ['ENOTSUP', 'EOPNOTSUPP', 'EISDIR', 'EINVAL', 'ENOSYS']

/** Opens a file to write and to read, in the file system of `directory`. */
export function openUnnamed(directory: string): number {
  return within(directory, (at) => {
    try {
      return fs.openSync(at, O_TMPFILE | O_RDWR, PRIVATE.file)
    } catch (error) {
      if (!UNSUPPORTED.includes(errorCode(error) ?? '')) throw error
      return openAndUnlink(at)
    }
  })
}

/** The same as a FileHandle. */
export async function openUnnamedHandle(directory: string): Promise<FileHandle> {
  const fd = openUnnamed(directory)
  try {
    return await open(`/proc/self/fd/${fd}`, 'r+')
  } finally {
    fs.closeSync(fd)
  }
}

/** For file systems without O_TMPFILE. Exported for its test. */
export function openNamedAndUnlink(directory: string): number {
  return within(directory, openAndUnlink)
}

function openAndUnlink(at: string): number {
  const path = `${at}/.ltxd-${randomBytes(12).toString('hex')}`
  const fd = fs.openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, PRIVATE.file)
  try {
    fs.unlinkSync(path)
    return fd
  } catch (error) {
    // Somebody else has renamed or removed it. It is still this user's alone.
    if (errorCode(error) === 'ENOENT') return fd
    fs.closeSync(fd)
    throw error
  }
}

/** `use` gets a path that names this one directory until it returns, whatever is renamed or linked meanwhile. */
function within<T>(directory: string, use: (at: string) => T): T {
  const fd = fs.openSync(directory, O_PATH | O_DIRECTORY)
  try {
    return use(`/proc/self/fd/${fd}/.`)
  } catch (error) {
    if (error instanceof Error) error.message = error.message.replaceAll(`/proc/self/fd/${fd}/.`, directory)
    throw error
  } finally {
    fs.closeSync(fd)
  }
}
