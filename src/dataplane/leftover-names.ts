/** What a name in the data directory is, before anything of it is recovered. */

import { constants } from 'node:fs'
import { droppedAt } from '../log/dropped.ts'
import { logDirectory } from '../log/store.ts'
import { DATABASE_MAGIC_SIZE, hasDatabaseMagic } from '../sqlite/database-header.ts'
import { type Files, withFile } from '../util/files.ts'

/** Whether only the position of its drop remains. What else is found out, recovery says. */
export function isReleased(files: Files, dataDir: string, name: string): boolean {
  try {
    return droppedAt(files, logDirectory(dataDir, name)) !== undefined
  } catch {
    return false
  }
}

/** Whether the name has a log, or a file that begins as a database. */
export function isDatabase(files: Files, at: { dataDir: string; root: string; name: string }): boolean {
  if (files.exists(logDirectory(at.dataDir, at.name))) return true
  const beginning = new Uint8Array(DATABASE_MAGIC_SIZE)
  const n = withFile(files, `${at.root}/${at.name}`, constants.O_RDONLY, (fd) =>
    files.read(fd, beginning, 0, beginning.length, 0),
  )
  return n === beginning.length && hasDatabaseMagic(beginning)
}
