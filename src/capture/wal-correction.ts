import fs from 'node:fs'
import { pageChecksum } from '../ltx/format/checksum.ts'
import type { Pgno, TXID } from '../ltx/format/types.ts'
import { formatTXID, lockPgno } from '../ltx/format/types.ts'
import { NewestFrames, PageList } from '../sqlite/page-list.ts'
import type { WalHeader } from '../sqlite/wal.ts'
import { FRAME_HEADER_SIZE, frameField, frameIndex, WAL_HEADER_SIZE } from '../sqlite/wal.ts'
import { withFile } from '../util/files.ts'
import type { CapturedDatabase } from './captured-database.ts'
import type { WalSpan } from './change.ts'
import { missingPages, sizeOfFile } from './growth.ts'
import { WalFrames } from './wal-frames.ts'

const { O_RDONLY, O_NOFOLLOW } = fs.constants

/** Captured transactions at the end of the WAL that SQLite never published. */
export interface AbandonedFrames {
  /** The pages that they changed. */
  readonly abandoned: PageList
  /** For each page that the WAL holds before them, the index of its newest frame. */
  readonly believed: NewestFrames
  /** Database size in pages before them. */
  readonly commit: number
  /** Where the abandoned frames lie, so that recovery does not capture them again. */
  readonly span: WalSpan
}

/** The transactions that a write at `position` abandons, of those captured up to `committedEnd`. */
export function findAbandoned(
  database: CapturedDatabase,
  frames: WalFrames,
  committedEnd: number,
  position: number,
): Omit<AbandonedFrames, 'span'> & {
  /** Where they begin. */
  readonly boundary: number
} {
  const { size } = frames
  const all = new Uint32Array(frames.indexOf(committedEnd))
  let boundary = WAL_HEADER_SIZE
  let commit = 0
  for (let at = WAL_HEADER_SIZE, index = 0; at < committedEnd; at += size, index++) {
    const header = frames.headerAt(at)
    all[index] = frameField.pgno(header, 0)
    if (at + size > position || frameField.commit(header, 0) === 0) continue
    boundary = at + size
    commit = frameField.commit(header, 0)
  }
  const believed = new NewestFrames(all.subarray(0, frames.indexOf(boundary)))
  const abandoned = new PageList()
  for (const pgno of all.subarray(frames.indexOf(boundary))) abandoned.add(pgno)
  if (boundary === WAL_HEADER_SIZE) commit = sizeOfFile(database)
  return { abandoned, believed, commit, boundary }
}

/** Appends the transaction that restores every page that the abandoned transactions changed. */
export function undoAbandoned(database: CapturedDatabase, frames: AbandonedFrames): void {
  const { abandoned, believed, commit, span } = frames
  const { pages, pageSize } = database
  const lost = database.position
  const sorted = abandoned.sorted()
  const inside = sorted.filter((pgno) => pgno <= commit && pgno !== lockPgno(pageSize))
  const pgnos = missingPages(inside, pages.sizePages, commit, pageSize)
  const read = (pgno: Pgno) => {
    const frame = believed.get(pgno)
    return frame === undefined ? database.readFile(pgno) : database.readFrame(frame)
  }
  const isReplaced = beginsAnew(database)
  if (!isReplaced) database.commit({ commit, pgnos, read, wal: span })
  pages.versions.cut(frameIndex(span.offset, pageSize))
  for (const pgno of sorted) pages.clearFrame(pgno)
  for (const pgno of pgnos) {
    const frame = believed.get(pgno)
    if (frame !== undefined) pages.setFrame(pgno, frame)
  }
  if (isReplaced) return
  database.publish()
  logUndone(database, lost.txid, pgnos.length)
}

/** A transaction that replaces the whole database begins a new history, in which nothing needs to be undone. */
function beginsAnew({ authority, expectations, position }: CapturedDatabase): boolean {
  return !authority.leads && expectations.next(position.txid)?.replaces !== undefined
}

/**
 * Called before the WAL's content is discarded. Every committed page must have reached the database file by now (I11).
 * If one has not, SQLite continues with the file as it is: the log follows the file with a corrective transaction,
 * reports an error, and the lost version stays restorable. A last transaction that SQLite never published is no loss.
 */
export function followFile(database: CapturedDatabase, occasion: string, wal?: CapturedWal): void {
  const { pages, events, name } = database
  for (const pgno of Array.from(pages.listInWal())) {
    if (pageChecksum(pgno, database.readFile(pgno)) === pages.checksum(pgno)) pages.clearFrame(pgno)
  }
  if (pages.pagesInWal === 0) return database.publish()
  const lost = Array.from(pages.listInWal())
  if (beginsAnew(database)) return lost.forEach((pgno) => pages.clearFrame(pgno))
  const isEncryptedAnew = lost.every((pgno) => pages.reencrypted.has(pgno))
  const before = database.position
  const isUnpublished = wal !== undefined && wal.committedEnd > WAL_HEADER_SIZE && neverPublished(database, wal, lost)
  const commit = sizeOfFile(database)
  const inside = lost.filter((pgno) => pgno <= commit)
  const pgnos = missingPages(inside, pages.sizePages, commit, database.pageSize)
  database.commit({ commit, pgnos, read: (pgno) => database.readFile(pgno) })
  for (const pgno of lost) pages.clearFrame(pgno)
  database.publish()
  if (isEncryptedAnew) return
  if (isUnpublished) return logUndone(database, before.txid, pgnos.length)
  events.guarded(database)
  events.log('error', `I11: ${occasion}, but committed pages never reached the database file`, {
    database: name,
    pages: lost.length,
    txid: formatTXID(before.txid),
    correctedBy: formatTXID(database.position.txid),
  })
}

/** The captured part of a WAL, whether that is open or not. */
export interface CapturedWal {
  readonly header: WalHeader
  readonly committedEnd: number
}

/**
 * Whether the pages that the file lacks are those of the last transaction alone, and the file is as before it: then a
 * checkpoint copied everything else, so the wal-index ended before that transaction. The WAL-reset bug, which loses
 * pages as well, does so from the beginning of a WAL that was restarted.
 */
function neverPublished(database: CapturedDatabase, { header, committedEnd }: CapturedWal, lost: Pgno[]): boolean {
  const { files, path, walFd } = database
  if (walFd < 0) {
    return withFile(files, `${path}-wal`, O_RDONLY | O_NOFOLLOW, (fd) =>
      isLast(new WalFrames({ files, walFd: fd }, header)),
    )
  }
  return isLast(new WalFrames(database, header))

  function isLast(frames: WalFrames): boolean {
    const start = frames.lastStart(committedEnd)
    const { abandoned, believed, boundary } = findAbandoned(database, frames, committedEnd, start)
    if (boundary === WAL_HEADER_SIZE && header.checkpointSequence > 0) return false
    return lost.every((pgno) => {
      const frame = believed.get(pgno)
      if (!abandoned.has(pgno) || frame === undefined) return abandoned.has(pgno)
      const page = frames.frameAt(frames.offsetOf(frame)).subarray(FRAME_HEADER_SIZE)
      return Buffer.compare(page, database.readFile(pgno)) === 0
    })
  }
}

function logUndone(database: CapturedDatabase, txid: TXID, pages: number): void {
  database.events.log('warn', 'a captured transaction was never published by SQLite: undone by the next one', {
    database: database.name,
    txid: formatTXID(txid),
    undoneBy: formatTXID(database.position.txid),
    pages,
  })
}
