/**
 * Files that applications left below a mount. If an application is in the middle of a transaction when the mount ends,
 * it creates its journal by path: in the directory underneath. That journal belongs to no database, and prevents the
 * node from mounting there again.
 */

import { errorCode } from '../util/errors.ts'
import { filesBeneath } from '../util/files-beneath.ts'
import { listEntries, type NamedEntry } from '../util/path-bytes.ts'
import { makeDirectorySync, type Modes } from '../util/private-files.ts'

const SIDE_FILE = /^(.+)-(journal|wal|shm)$/

/**
 * Moves journals, WALs and wal-indexes that are in `directory` without their database to `into`, and returns their new
 * paths. If the directory holds any other file, moves nothing, because a user stores files there. `directory` must not
 * be mounted.
 */
export function setAsideStrays(directory: string, into: string, modes: Modes): string[] {
  const entries = list(directory)
  const all = new Set(entries.map(({ name }) => name))
  const isStray = (entry: NamedEntry) => {
    const database = SIDE_FILE.exec(entry.name)?.[1]
    return entry.isFile && database !== undefined && !all.has(database)
  }
  if (!entries.every(isStray)) return []
  if (entries.length > 0) makeDirectorySync(into, modes.directory)
  const files = filesBeneath(directory)
  const stamp = new Date().toISOString().replace(/[:.]/g, '-')
  const moved = entries.map(({ name }) => {
    const to = `${into}/${stamp}-${name}`
    // `into` may be on another file system, where rename fails.
    const isCopied = isFile(() => files.copyOut(`${directory}/${name}`, to, modes.file))
    files.remove(`${directory}/${name}`)
    return isCopied ? to : undefined
  })
  return moved.filter((to) => to !== undefined)
}

/** False where somebody has removed the file meanwhile, or put a link in its place: that is no journal. */
function isFile(copy: () => void): boolean {
  try {
    copy()
    return true
  } catch (error) {
    if (['ENOENT', 'NAME_IS_LINK', 'NOT_REGULAR'].includes(errorCode(error) ?? '')) return false
    throw error
  }
}

function list(directory: string): NamedEntry[] {
  try {
    return listEntries(directory)
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return []
    throw error
  }
}
