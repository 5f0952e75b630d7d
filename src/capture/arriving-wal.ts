/**
 * A WAL that appears as a whole. SQLite's RBU extension writes one under another name (`x-oal`), beside a database in a
 * rollback mode that others go on using, and renames it to `x-wal`: from then on everyone reads through it. So the
 * rename commits what the file holds.
 */
import fs from 'node:fs'
import { DATABASE_LOCK } from '../sqlite/locks.ts'
import { hasWalMagic, WAL_HEADER_SIZE } from '../sqlite/wal.ts'
import type { Files } from '../util/files.ts'
import { withFile } from '../util/files.ts'
import type { Database } from './database.ts'

/** Whether the file begins as a WAL does, and the database has neither a WAL nor a transaction under way. */
export function mayBecomeWal(database: Database, from: string): boolean {
  const { journal, walFd, wal, pages, files } = database
  if (journal.active || walFd >= 0 || wal.following || pages.pagesInWal > 0) return false
  return beginsAsWal(files, from) && !mayBeginJournal(database)
}

/** A transaction in a rollback mode has begun elsewhere. RBU excludes it: it renames under an EXCLUSIVE lock. */
function mayBeginJournal({ authority, files, path }: Database): boolean {
  const inode = files.status(path)?.ino ?? 0
  const isLocked = (offset: number) => authority.isLocked?.(inode, offset) === true
  return isLocked(DATABASE_LOCK.reserved) && !isLocked(DATABASE_LOCK.shared)
}

/** Commits what `from` holds as one transaction of `database`. Throws FsError; then nothing has changed. */
export function captureArriving(database: Database, from: string): void {
  withFile(database.files, from, fs.constants.O_RDONLY, (fd) => {
    database.walFd = fd
    try {
      database.wal.adopt(database.files.size(fd), true)
    } catch (error) {
      database.wal.forget()
      throw error
    } finally {
      database.walFd = -1
    }
  })
}

/** The file did not become the WAL: the next transaction restores what is in the database's file. */
export function undoArrival(database: Database): void {
  if (!database.wal.following) return
  database.wal.forget()
  database.importFile()
}

function beginsAsWal(files: Files, path: string): boolean {
  const beginning = new Uint8Array(WAL_HEADER_SIZE)
  return withFile(files, path, fs.constants.O_RDONLY, (fd) => {
    return files.read(fd, beginning, 0, beginning.length, 0) === beginning.length && hasWalMagic(beginning)
  })
}
