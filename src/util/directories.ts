import type { Stats } from 'node:fs'
import { lstat, open, stat, unlink } from 'node:fs/promises'
import { errorCode } from './errors.ts'

/**
 * The mode of directories that are not for ltxd alone, such as those above its own. The umask narrows it. Whatever the
 * umask, no other user can rename what is in them.
 */
export const BY_UMASK = 0o775

/**
 * The mode of directories on the mount that no application has made. The umask narrows it and does not widen it: who
 * may write to a directory can remove and replace databases of others in it.
 */
export const WRITABLE_BY_OWNER = 0o755

/** Makes a directory's entries survive a power loss. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Stats a path; undefined when nothing exists there. */
export function statFile(path: string): Promise<Stats | undefined> {
  return unlessMissing(stat(path))
}

/** The same without following a link that is there. */
export function linkStatus(path: string): Promise<Stats | undefined> {
  return unlessMissing(lstat(path))
}

async function unlessMissing(found: Promise<Stats>): Promise<Stats | undefined> {
  try {
    return await found
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/** Removes a file. Returns whether there was one. */
export async function removeFile(path: string): Promise<boolean> {
  try {
    await unlink(path)
    return true
  } catch (error) {
    if (isMissing(error) || errorCode(error) === 'EISDIR') return false
    throw error
  }
}

/** Nothing has the name, or a file has that of a directory on the way. */
export function isMissing(error: unknown): boolean {
  return errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR'
}
