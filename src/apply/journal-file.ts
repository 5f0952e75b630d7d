/** Changes a database file in place, so that any SQLite can roll back a change that is not complete. */

import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { lockPgno, type Pgno } from '../ltx/format/types.ts'
import { parseJournal } from '../sqlite/journal.ts'
import { JOURNAL_COUNT_AT, marshalJournalSegment, nextJournalSegment } from '../sqlite/journal-write.ts'
import { PageSet } from '../sqlite/page-set.ts'
import { nodeFiles, readerOf, withFile } from '../util/files.ts'
import { directoryAs, type User } from '../util/look-as.ts'
import { statusBeside } from './beside.ts'
import type { DatabaseFile } from './database-file.ts'
import type { Steps } from './steps.ts'
import type { Page } from './transaction.ts'

const BATCH_BYTES = 4 << 20

export interface Size {
  readonly pageSize: number
  readonly sizePages: number
}

/**
 * Writes pages into the file and truncates it to its new size, under its EXCLUSIVE lock. The old pages go into a
 * rollback journal first, which is durable before the file changes. The journal's removal is the commit.
 */
export function* writeInPlace(file: DatabaseFile, before: Size, after: Size, pages: Iterable<Page>): Steps<void> {
  const journal = new JournalFile(file, before)
  try {
    journal.begin()
    const remaining = before.pageSize === after.pageSize ? after.sizePages : 0
    for (let first = remaining + 1; first <= before.sizePages; yield) first = journal.saveFrom(first)
    for (const batch of batches(pages, after.pageSize)) {
      if (remaining > 0) journal.save(batch.map(({ pgno }) => pgno))
      file.writePages(after.pageSize, batch)
      yield
    }
    if (file.sizeBytes() !== after.sizePages * after.pageSize) file.truncate(after.sizePages * after.pageSize)
    file.sync()
    journal.commit()
  } finally {
    journal.close()
  }
}

/** Whether a journal that is not empty lies beside the file. Throws NotRegularError. */
export function hasJournal(file: DatabaseFile): boolean {
  return (statusBeside(file, '-journal')?.size ?? 0) > 0
}

/**
 * Rolls back an incomplete transaction, under the file's EXCLUSIVE lock. A transaction over several databases is
 * complete once its super-journal is gone; then only the journal is removed.
 */
export function rollBack(file: DatabaseFile): void {
  const { files } = file
  const path = `${file.path}-journal`
  withFile(files, path, fs.constants.O_RDONLY, (fd) => {
    const read = readerOf(nodeFiles, fd)
    const journal = parseJournal(read, nodeFiles.size(fd))
    if (journal === undefined) return
    if (journal.superJournal !== undefined && isGone(journal.superJournal, fs.fstatSync(fd))) return
    const { pageSize, initialSizePages } = journal
    for (const { pgno, dataOffset } of journal.records) {
      if (pgno <= initialSizePages) file.writePages(pageSize, [{ pgno, page: read(dataOffset, pageSize) }])
    }
    file.truncate(initialSizePages * pageSize)
    file.sync()
  })
  files.unlink(path)
  files.syncDirectory(dirname(path))
}

/**
 * Looks where the journal says, which need not be below the file's directory, but only where the journal's `owner`
 * could look, too: otherwise the outcome would tell which files others have. What cannot be looked for is not gone: a
 * rollback here loses nothing, because the file's history comes from elsewhere.
 */
function isGone(superJournal: string, owner: User): boolean {
  const directory = directoryAs(owner, superJournal)
  if (directory?.exists !== true) return false
  try {
    return fs.lstatSync(join(directory.path, basename(superJournal)), { throwIfNoEntry: false }) === undefined
  } catch {
    return false // No file can have this name.
  }
}

class JournalFile {
  readonly #file: DatabaseFile
  readonly #before: Size
  readonly #path: string
  readonly #fd: number
  readonly #saved = new PageSet()
  #end = 0

  constructor(file: DatabaseFile, before: Size) {
    this.#file = file
    this.#before = before
    this.#path = `${file.path}-journal`
    const { O_RDWR, O_CREAT, O_TRUNC } = fs.constants
    this.#fd = file.openBeside('-journal', O_RDWR | O_CREAT | O_TRUNC)
  }

  /** Writes a journal without records: its header tells the file's size before the transaction. */
  begin(): void {
    this.#append([])
    this.#file.files.syncDirectory(dirname(this.#path))
  }

  /** Saves a batch of consecutive pages from `first`. Returns the page after the batch. */
  saveFrom(first: Pgno): Pgno {
    const { pageSize, sizePages } = this.#before
    const next = Math.min(sizePages + 1, first + Math.max(1, BATCH_BYTES / pageSize))
    this.save(Array.from({ length: next - first }, (_, i) => first + i))
    return next
  }

  /** Saves the old content of these pages. It is durable on return. */
  save(pgnos: readonly Pgno[]): void {
    const { pageSize, sizePages } = this.#before
    const wanted = pgnos.filter((pgno) => pgno <= sizePages && pgno !== lockPgno(pageSize) && !this.#saved.has(pgno))
    if (wanted.length === 0) return
    this.#append(wanted.map((pgno) => ({ pgno, page: this.#file.read((pgno - 1) * pageSize, pageSize) })))
    for (const pgno of wanted) this.#saved.add(pgno)
  }

  commit(): void {
    // The journal may be gone: a reader of the file that this one replaced can mistake it for its own and remove it.
    this.#file.files.remove(this.#path)
    this.#file.files.syncDirectory(dirname(this.#path))
  }

  close(): void {
    nodeFiles.close(this.#fd)
  }

  /** Makes the records durable before the header counts them, as SQLite does, because their checksums are weak. */
  #append(pages: readonly Page[]): void {
    const { pageSize, sizePages: initialSizePages } = this.#before
    const bytes = marshalJournalSegment({ pageSize, initialSizePages, nonce: randomBytes(4).readUInt32BE() }, pages)
    const at = nextJournalSegment(this.#end)
    nodeFiles.write(this.#fd, bytes, 0, bytes.length, at)
    nodeFiles.sync(this.#fd)
    if (pages.length > 0) {
      const count = new Uint8Array(4)
      new DataView(count.buffer).setUint32(0, pages.length)
      nodeFiles.write(this.#fd, count, 0, 4, at + JOURNAL_COUNT_AT)
      nodeFiles.sync(this.#fd)
    }
    this.#end = at + bytes.length
  }
}

function* batches(pages: Iterable<Page>, pageSize: number): Generator<Page[]> {
  const limit = Math.max(1, BATCH_BYTES / pageSize)
  let batch: Page[] = []
  for (const { pgno, page } of pages) {
    batch.push({ pgno, page: page.slice() })
    if (batch.length < limit) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}
