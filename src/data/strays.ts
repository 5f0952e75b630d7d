/**
 * Files that applications left below a mount. If an application is in the middle of a transaction when the mount ends,
 * it creates its journal by path: in the directory underneath. That journal belongs to no database, and prevents the
 * node from mounting there again.
 */

import fs from 'node:fs'
import { basename } from 'node:path'
import { bytesOnDisk, copyFile } from '../util/copy-file.ts'
import { errorCode, LtxdError } from '../util/errors.ts'
import { type FilesBeneath, filesBeneath } from '../util/files-beneath.ts'
import { listEntries, type NamedEntry, native } from '../util/path-bytes.ts'

const SIDE_FILE = /^(.+)-(journal|wal|shm)$/

/** More than applications leave. Others may make any number. */
const MAX_STRAYS = 1000
/** Of all files that go to another file system while the start waits: a journal of nothing is small. */
const MAX_COPIED_BYTES = 1 << 30

/** The files below the mount point are too many, or too large to be copied into the data directory. They stay there. */
class StrayError extends LtxdError {
  constructor(code: 'STRAY_TOO_LARGE' | 'STRAYS_TOO_MANY', found: string, into: string) {
    super(code, `the mount point has ${found} to be moved to ${into}: move them away, or delete them`)
  }
}

/** Where strays go: a directory below that of `files`. */
export interface StraysDirectory {
  readonly files: FilesBeneath
  readonly into: string
  readonly signal?: AbortSignal | undefined
}

/**
 * Moves journals, WALs and wal-indexes that are in `directory` without their database to another one, and returns their
 * new paths. If the directory holds any other file, moves nothing, because a user stores files there. `directory` must
 * not be mounted. Throws StrayError, and the reason of the signal.
 */
export async function setAsideStrays(directory: string, { files, into, signal }: StraysDirectory): Promise<string[]> {
  const entries = list(directory)
  const all = new Set(entries.map(({ name }) => name))
  const isStray = (entry: NamedEntry) => {
    const database = SIDE_FILE.exec(entry.name)?.[1]
    return entry.isFile && database !== undefined && !all.has(database)
  }
  if (!entries.every(isStray)) return []
  if (entries.length > MAX_STRAYS) {
    const found = `${entries.length} files that belong to no database, such as ${entries[0]?.name}, which are too many`
    throw new StrayError('STRAYS_TOO_MANY', found, into)
  }
  if (entries.length > 0) files.makeDirectory(into)
  const stamp = new Date().toISOString().replace(/[:.]/g, '-')
  const move = new StrayMove(directory, files, signal)
  const moved: string[] = []
  for (const { name } of entries) {
    const to = `${into}/${stamp}-${name}`
    if (await move.file(name, to)) moved.push(to)
  }
  return moved
}

class StrayMove {
  readonly #directory: string
  readonly #files: FilesBeneath
  readonly #signal: AbortSignal | undefined
  #copiedBytes = 0

  constructor(directory: string, files: FilesBeneath, signal: AbortSignal | undefined) {
    this.#directory = directory
    this.#files = files
    this.#signal = signal
  }

  /** False where somebody has removed the file meanwhile, or put a link in its place: that is no journal. */
  async file(name: string, into: string): Promise<boolean> {
    const from = `${this.#directory}/${name}`
    const to = native(this.#files.at(into))
    try {
      fs.renameSync(native(from), to)
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return false
      if (errorCode(error) !== 'EXDEV') throw error
      return this.#copy(from, into)
    }
    // In a directory where nobody else exchanges it.
    const found = fs.lstatSync(to)
    if (found.isFile() && found.nlink === 1) fs.chmodSync(to, this.#files.modes.file)
    else if (!found.isDirectory()) fs.unlinkSync(to)
    return found.isFile() && found.nlink === 1
  }

  /** To another file system. Throws StrayError. */
  async #copy(from: string, to: string): Promise<boolean> {
    const source = filesBeneath(this.#directory)
    let fd: number | undefined
    try {
      fd = source.open(from, fs.constants.O_RDONLY)
      this.#assertRoom(from, fs.fstatSync(fd), to)
      const options = { skipsHoles: true, durable: true, ...(this.#signal && { signal: this.#signal }) }
      await copyFile(`/proc/self/fd/${fd}`, this.#files.at(to), this.#files.modes.file, options)
      source.remove(from)
      return true
    } catch (error) {
      if (fd !== undefined) this.#files.remove(to)
      if (!['ENOENT', 'NAME_IS_LINK', 'NOT_REGULAR'].includes(errorCode(error) ?? '')) throw error
      source.remove(from)
      return false
    } finally {
      if (fd !== undefined) fs.closeSync(fd)
    }
  }

  #assertRoom(path: string, found: fs.Stats, to: string): void {
    const into = to.slice(0, to.lastIndexOf('/'))
    const { bavail, bsize } = fs.statfsSync(this.#files.at(into))
    this.#copiedBytes += bytesOnDisk(found)
    if (Math.max(found.size, this.#copiedBytes) <= MAX_COPIED_BYTES && bytesOnDisk(found) <= (bavail * bsize) / 2)
      return
    const what = `files that belong to no database, of which ${basename(path)} has ${found.size} bytes`
    throw new StrayError('STRAY_TOO_LARGE', `${what}, too large`, into)
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
