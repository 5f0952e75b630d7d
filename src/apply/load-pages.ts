import { pageChecksum } from '../ltx/format/checksum.ts'
import { type Checksum, EMPTY_CHECKSUM, lockPgno } from '../ltx/format/types.ts'
import type { DatabaseHeader } from '../sqlite/database-header.ts'
import { pagesOf } from '../sqlite/locks.ts'
import { exchange, PageTable } from '../sqlite/page-table.ts'
import { hasWal } from './beside.ts'
import type { DatabaseFile } from './database-file.ts'
import { mayBeEncrypted } from './encrypted-file.ts'
import { NotDatabaseError } from './errors.ts'
import type { Size } from './journal-file.ts'
import { STEP_BYTES, type Steps } from './steps.ts'
import type { Wal } from './wal.ts'

interface Loaded {
  /** The newest version of each page: its checksum, and its WAL frame, if it has one. */
  readonly pages: PageTable
  /** Of the database. */
  readonly checksum: Checksum
  readonly firstPage: Uint8Array
}

/** Reads every page. Throws NotDatabaseError. */
export function* loadPages(file: DatabaseFile, wal: Wal | undefined, { pageSize, sizePages }: Size): Steps<Loaded> {
  const pages = new PageTable()
  for (const [pgno, frame] of wal?.newestFrames() ?? []) if (pgno <= sizePages) pages.setFrame(pgno, frame - 1)
  const read = (pgno: number) => {
    const frame = pages.frame(pgno)
    const isInWal = frame >= 0 && wal !== undefined
    const page = isInWal ? wal.readFrame(frame + 1) : file.read((pgno - 1) * pageSize, pageSize)
    if (page.length === pageSize) return page
    throw new NotDatabaseError(file.path, `ends within page ${pgno}, but has ${sizePages} pages`)
  }
  const lockPage = lockPgno(pageSize)
  let checksum = EMPTY_CHECKSUM
  for (let pgno = 1; pgno <= sizePages; pgno++) {
    if (pgno === lockPage) continue
    const sum = pageChecksum(pgno, read(pgno))
    pages.setChecksum(pgno, sum)
    checksum = exchange(checksum, 0n, sum)
    if ((pgno * pageSize) % STEP_BYTES === 0) yield
  }
  pages.resize(sizePages)
  return { pages, checksum, firstPage: read(1) }
}

/** undefined while the file is empty, or encrypted. Throws NotDatabaseError. */
export function validHeader(file: DatabaseFile): DatabaseHeader | undefined {
  const header = file.header()
  const isEmpty = file.sizeBytes() === 0
  if (header === undefined && !isEmpty && !mayBeEncrypted(file))
    throw new NotDatabaseError(file.path, 'is not a SQLite database')
  if (isEmpty && hasWal(file)) throw new NotDatabaseError(file.path, 'is empty, but has a -wal')
  return header
}

/**
 * The size of the newest pages. The WAL has pages of another size than the file where a change of the page size is not
 * copied yet: then it has all pages. Throws NotDatabaseError.
 */
export function pageSizeOf({ path }: DatabaseFile, wal: Wal | undefined, { pageSize }: DatabaseHeader): number {
  if (wal === undefined || wal.frames === 0 || wal.pageSize === pageSize) return pageSize
  const { sizePages = 0 } = wal
  // Those that were copied into the file count, too: its header is copied last.
  let missing = pagesOf(sizePages, lockPgno(wal.pageSize))
  for (const [pgno] of wal.newestFrames(true)) if (pgno <= sizePages) missing--
  if (missing === 0) return wal.pageSize
  const problem = `has pages of ${pageSize} bytes, but its -wal has pages of ${wal.pageSize}, and not all of them`
  throw new NotDatabaseError(path, problem)
}
