/**
 * What applications leave below a mount. One that is in the middle of a transaction while its node's mount goes creates its journal by its path: in
 * the directory below. It belongs to nothing, and would keep the node from mounting there again.
 */

import fs from 'node:fs'
import { errorCode } from '../util/errors.ts'

const SIDE_FILE = /^(.+)-(journal|wal|shm)$/

/**
 * Moves journals, WALs and their indexes that lie in `directory` without a database into `into`, and returns where they are now. Where anything
 * else is in it, nothing is touched: somebody keeps files there. `directory` must not be mounted.
 */
export function setAsideStrays(directory: string, into: string): string[] {
  const entries = list(directory)
  const all = new Set(entries.map(({ name }) => name))
  const isStray = (entry: fs.Dirent) => {
    const database = SIDE_FILE.exec(entry.name)?.[1]
    return entry.isFile() && database !== undefined && !all.has(database)
  }
  if (!entries.every(isStray)) return []
  if (entries.length > 0) fs.mkdirSync(into, { recursive: true })
  const stamp = new Date().toISOString().replace(/[:.]/g, '-')
  return entries.map(({ name }) => {
    const to = `${into}/${stamp}-${name}`
    // Another file system, maybe: rename would not do.
    fs.copyFileSync(`${directory}/${name}`, to)
    fs.unlinkSync(`${directory}/${name}`)
    return to
  })
}

function list(directory: string): fs.Dirent[] {
  try {
    return fs.readdirSync(directory, { withFileTypes: true })
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return []
    throw error
  }
}
