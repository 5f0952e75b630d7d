/**
 * A rollback journal that no connection of this node has written: it was copied in beside its database, within a
 * transaction. What it restores is in no log. So a start must not replay the log over what the journal has rolled back,
 * as it does with a journal that SQLite wrote here. The file `copied-journal` in the database's log says so until the
 * journal ends. It holds whose journal that is: `database`, or `replacement` while another content replaces the
 * database's file. That one is given up with its journal when the node ends.
 */

import fs from 'node:fs'
import type { Files } from '../util/files.ts'
import { withFile } from '../util/files.ts'

export type CopiedWith = 'database' | 'replacement'

const { O_CREAT, O_RDONLY, O_RDWR } = fs.constants
/** The first bytes of what the file holds. */
const REPLACEMENT = 'r'.charCodeAt(0)

/** undefined: SQLite wrote the journal here, if there is one. */
export function journalCopiedWith(files: Files, dir: string): CopiedWith | undefined {
  if (!files.exists(noteIn(dir))) return undefined
  const first = new Uint8Array(1)
  withFile(files, noteIn(dir), O_RDONLY, (fd) => files.read(fd, first, 0, 1, 0))
  return first[0] === REPLACEMENT ? 'replacement' : 'database'
}

/** Durable before the journal is valid, or the replacement begins. */
export function noteCopiedJournal(files: Files, dir: string, copiedWith: CopiedWith): void {
  const bytes = Buffer.from(copiedWith)
  withFile(files, noteIn(dir), O_RDWR | O_CREAT, (fd) => {
    files.write(fd, bytes, 0, bytes.length, 0)
    files.truncate(fd, bytes.length)
    files.sync(fd)
  })
  files.syncDirectory(dir)
}

/** Durable before SQLite writes the next journal. */
export function forgetCopiedJournal(files: Files, dir: string): void {
  if (!files.exists(noteIn(dir))) return
  files.unlink(noteIn(dir))
  files.syncDirectory(dir)
}

function noteIn(dir: string): string {
  return `${dir}/copied-journal`
}
