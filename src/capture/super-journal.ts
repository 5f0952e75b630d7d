import fs from 'node:fs'
import { readSuperName } from '../sqlite/journal.ts'
import type { Files } from '../util/files.ts'
import { readerOf, withFile } from '../util/files.ts'

/**
 * Whether the journal names the super-journal at `path`. The names are compared without their directories: SQLite
 * records absolute paths.
 */
export function namesSuperJournal(files: Files, journalPath: string, path: string): boolean {
  const name = withFile(files, journalPath, fs.constants.O_RDONLY, (fd) =>
    readSuperName(readerOf(files, fd), files.size(fd)),
  )
  return name !== undefined && basename(name) === basename(path)
}

function basename(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
