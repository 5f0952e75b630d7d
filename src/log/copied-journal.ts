/**
 * A rollback journal that no connection of this node has written: it was copied in beside its database, which the log
 * holds as it was copied, within a transaction. What the journal restores is in no log. So a start must not replay the
 * log over what the journal has rolled back, as it does with a journal that SQLite wrote here. The file
 * `copied-journal` in the database's log says so until the journal ends.
 */

import fs from 'node:fs'
import type { Files } from '../util/files.ts'

const { O_CREAT, O_RDWR } = fs.constants

export function isJournalCopied(files: Files, dir: string): boolean {
  return files.exists(noteIn(dir))
}

/** Durable before the journal is valid. */
export function noteCopiedJournal(files: Files, dir: string): void {
  files.close(files.open(noteIn(dir), O_RDWR | O_CREAT))
  files.syncDirectory(dir)
}

/** Durable before SQLite writes the next journal. */
export function forgetCopiedJournal(files: Files, dir: string): void {
  if (!isJournalCopied(files, dir)) return
  files.unlink(noteIn(dir))
  files.syncDirectory(dir)
}

function noteIn(dir: string): string {
  return `${dir}/copied-journal`
}
