import { pageChecksum } from '../ltx/format/checksum.ts'
import type { Pgno } from '../ltx/format/types.ts'
import { formatTXID, lockPgno } from '../ltx/format/types.ts'
import { frameIndex } from '../sqlite/wal.ts'
import type { CapturedDatabase } from './captured-database.ts'
import type { WalSpan } from './change.ts'
import { missingPages, sizeOfFile } from './growth.ts'

/** Captured transactions at the end of the WAL that SQLite never published. */
export interface AbandonedFrames {
  /** The pages that they changed. */
  readonly abandoned: ReadonlySet<Pgno>
  /** For each page that the WAL holds before them, the index of its newest frame. */
  readonly believed: ReadonlyMap<Pgno, number>
  /** Database size in pages before them. */
  readonly commit: number
  /** Where the abandoned frames lie, so that recovery does not capture them again. */
  readonly span: WalSpan
}

/** Appends the transaction that restores every page that the abandoned transactions changed. */
export function undoAbandoned(database: CapturedDatabase, frames: AbandonedFrames): void {
  const { abandoned, believed, commit, span } = frames
  const { pages, pageSize } = database
  const lost = database.position
  const sorted = Array.from(abandoned).sort((a, b) => a - b)
  const inside = sorted.filter((pgno) => pgno <= commit && pgno !== lockPgno(pageSize))
  const pgnos = missingPages(inside, pages.sizePages, commit, pageSize)
  const newest = new Map(pgnos.map((pgno) => [pgno, believed.get(pgno) ?? -1]))
  const read = (pgno: Pgno) => {
    const frame = newest.get(pgno) ?? -1
    return frame < 0 ? database.readFile(pgno) : database.readFrame(frame)
  }
  // A transaction that replaces the whole database begins a new history, in which nothing needs to be undone.
  const isReplaced = !database.authority.leads && database.expectations.next(lost.txid)?.replaces !== undefined
  if (!isReplaced) database.commit({ commit, pgnos, read, wal: span })
  pages.versions.cut(frameIndex(span.offset, pageSize))
  for (const pgno of sorted) pages.clearFrame(pgno)
  for (const [pgno, frame] of newest) if (frame >= 0) pages.setFrame(pgno, frame)
  if (isReplaced) return
  database.publish()
  database.events.log('warn', 'a captured transaction was never published by SQLite: undone by the next one', {
    database: database.name,
    txid: formatTXID(lost.txid),
    undoneBy: formatTXID(database.position.txid),
    pages: pgnos.length,
  })
}

/**
 * Called before the WAL's content is discarded. Every committed page must have reached the database file by now (I11).
 * If one has not, SQLite continues with the file as it is: the log follows the file with a corrective transaction,
 * reports an error, and the lost version stays restorable.
 */
export function followFile(database: CapturedDatabase, occasion: string): void {
  const { pages } = database
  for (const pgno of Array.from(pages.listInWal())) {
    if (pageChecksum(pgno, database.readFile(pgno)) === pages.checksum(pgno)) pages.clearFrame(pgno)
  }
  if (pages.pagesInWal === 0) return database.publish()
  const lost = Array.from(pages.listInWal())
  const before = database.position
  const commit = sizeOfFile(database)
  const inside = lost.filter((pgno) => pgno <= commit)
  const pgnos = missingPages(inside, pages.sizePages, commit, database.pageSize)
  database.commit({ commit, pgnos, read: (pgno) => database.readFile(pgno) })
  for (const pgno of lost) pages.clearFrame(pgno)
  database.publish()
  database.events.guarded(database)
  database.events.log('error', `I11: ${occasion}, but committed pages never reached the database file`, {
    database: database.name,
    pages: lost.length,
    txid: formatTXID(before.txid),
    correctedBy: formatTXID(database.position.txid),
  })
}
