/** A file with the content of a side file that is renamed to the name of one. */

import type { Caller } from '../fuse/content.ts'
import { captureArriving, undoArrival } from './arriving-wal.ts'
import type { Database } from './database.ts'
import { mayBegin } from './journal-rules.ts'

export interface Arriving {
  /** Before the rename. Throws FsError. */
  begin(caller: Caller): void
  /** The rename has failed. */
  undo(): void
  /** It has the name. */
  end(): void
}

/** At `path`. Where nobody has the database open, it was copied: SQLite's RBU has it open, and locks it. */
export function arrivingWal(database: Database, path: string): Arriving {
  const isCopied = database.file.fd < 0
  return {
    begin: () => void (isCopied || captureArriving(database, path)),
    undo: () => void (isCopied || undoArrival(database)),
    end: () => void (isCopied && database.copied.walArrived()),
  }
}

export function arrivingJournal(database: Database): Arriving {
  return {
    begin: (caller) => mayBegin(database, -1, caller),
    undo: () => database.journal.forget(),
    end: () => database.journal.begin(-1),
  }
}
