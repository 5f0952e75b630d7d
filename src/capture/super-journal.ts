import fs from 'node:fs'
import { readSuperName } from '../sqlite/journal.ts'
import type { Files } from '../util/files.ts'
import { readerOf, withFile } from '../util/files.ts'

/** A journal: the descriptor of whoever has it open, which need not have a name any more, or -1; and its path. */
export interface JournalFile {
  readonly fd: number
  readonly path: string
}

/**
 * Whether the journal names the super-journal at `path`. The names are compared without their directories: SQLite
 * records absolute paths. A journal that does not exist names none.
 */
export function namesSuperJournal(files: Files, journal: JournalFile, path: string): boolean {
  const nameIn = (fd: number) => readSuperName(readerOf(files, fd), files.size(fd))
  const read = () =>
    journal.fd >= 0 ? nameIn(journal.fd) : withFile(files, journal.path, fs.constants.O_RDONLY, nameIn)
  const name = journal.fd < 0 && !files.exists(journal.path) ? undefined : read()
  return name !== undefined && basename(name) === basename(path)
}

function basename(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
