/**
 * Files that applications left below a mount. If an application is in the middle of a transaction when the mount ends,
 * it creates its journal by path: in the directory underneath. That journal belongs to no database, and prevents the
 * node from mounting there again.
 */

import fs from 'node:fs'
import { basename, dirname } from 'node:path'
import { bytesOnDisk } from '../util/copy-file.ts'
import { errorCode, LtxdError } from '../util/errors.ts'
import { filesBeneath } from '../util/files-beneath.ts'
import { listEntries, type NamedEntry, native } from '../util/path-bytes.ts'
import { makeDirectorySync, type Modes } from '../util/private-files.ts'

const SIDE_FILE = /^(.+)-(journal|wal|shm)$/

/** Of a file that goes to another file system while the start waits: a journal of nothing is small. */
const MAX_COPIED_BYTES = 1 << 30

/** A file below the mount point is too large to be copied into the data directory. It stays where it is. */
class StrayError extends LtxdError {
  constructor(path: string, sizeBytes: number, into: string) {
    super(
      'STRAY_TOO_LARGE',
      `the mount point has a file ${basename(path)} of ${sizeBytes} bytes, which belongs to no database and is too ` +
        `large to be copied to ${into}: move it away, or delete it`,
    )
  }
}

/**
 * Moves journals, WALs and wal-indexes that are in `directory` without their database to `into`, and returns their new
 * paths. If the directory holds any other file, moves nothing, because a user stores files there. `directory` must not
 * be mounted. Throws StrayError.
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
  const stamp = new Date().toISOString().replace(/[:.]/g, '-')
  const moved = entries.map(({ name }) => {
    const to = `${into}/${stamp}-${name}`
    return move(directory, name, to, modes) ? to : undefined
  })
  return moved.filter((to) => to !== undefined)
}

/** False where somebody has removed the file meanwhile, or put a link in its place: that is no journal. */
function move(directory: string, name: string, to: string, modes: Modes): boolean {
  const from = `${directory}/${name}`
  try {
    fs.renameSync(native(from), native(to))
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false
    if (errorCode(error) !== 'EXDEV') throw error
    return moveBetweenDisks(directory, from, to, modes)
  }
  // In a directory where nobody else exchanges it.
  const found = fs.lstatSync(native(to))
  if (found.isFile() && found.nlink === 1) fs.chmodSync(native(to), modes.file)
  else if (!found.isDirectory()) fs.unlinkSync(native(to))
  return found.isFile() && found.nlink === 1
}

/** Throws StrayError. */
function moveBetweenDisks(directory: string, from: string, to: string, modes: Modes): boolean {
  const files = filesBeneath(directory)
  try {
    const found = files.status(from)
    if (found !== undefined) assertRoom(from, found, dirname(to))
    files.copyOut(from, to, modes.file)
    files.remove(from)
    return true
  } catch (error) {
    if (!['ENOENT', 'NAME_IS_LINK', 'NOT_REGULAR'].includes(errorCode(error) ?? '')) throw error
    files.remove(from)
    return false
  }
}

function assertRoom(path: string, found: fs.Stats, into: string): void {
  const { bavail, bsize } = fs.statfsSync(into)
  const freeBytes = bavail * bsize
  if (found.size > MAX_COPIED_BYTES || bytesOnDisk(found) > freeBytes / 2) throw new StrayError(path, found.size, into)
}

function list(directory: string): NamedEntry[] {
  try {
    return listEntries(directory)
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return []
    throw error
  }
}
