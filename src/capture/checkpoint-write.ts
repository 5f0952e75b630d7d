/**
 * Writes to the file of a database in WAL mode. Only a checkpoint makes them, so each page must come out as a version
 * that was committed: the newest, or, where a reader holds the checkpoint back, an older one of the same WAL. Whatever
 * else is written (journal_mode MEMORY or OFF, rsync --inplace, dd) would change the database without a transaction.
 */

import type { Caller } from '../fuse/content.ts'
import { pageChecksum } from '../ltx/format/checksum.ts'
import type { Pgno } from '../ltx/format/types.ts'
import { FRAME_HEADER_SIZE, frameOffset } from '../sqlite/wal.ts'
import type { CapturedDatabase } from './captured-database.ts'
import { rejectUncommitted } from './rejection.ts'

/** Part of a page, or all of it. */
interface Piece {
  readonly pgno: Pgno
  /** Where in the page the bytes begin. */
  readonly offset: number
  readonly bytes: Uint8Array
}

/** Checks all of `data` before `perform` writes it. Throws FsError; then nothing has changed. */
export function checkpointWrite(
  database: CapturedDatabase,
  data: Uint8Array,
  position: number,
  caller: Caller,
  perform: () => void,
): void {
  const { pages, pageSize } = database
  const wasInFile = pages.pagesInWal === 0
  copied.length = returned.length = encrypted.length = 0
  let isAligned = true
  for (let at = 0; at < data.length;) {
    const pgno = Math.floor((position + at) / pageSize) + 1
    const offset = (position + at) % pageSize
    const length = Math.min(pageSize - offset, data.length - at)
    const bytes = data.subarray(at, at + length)
    at += length
    if (length < pageSize) isAligned = false
    else {
      const checksum = pageChecksum(pgno, bytes)
      if (checksum === pages.checksum(pgno)) {
        if (pages.frame(pgno) >= 0) copied.push(pgno)
        continue
      }
      if (pages.versions.has(pgno, checksum)) {
        if (pages.frame(pgno) < 0 && pages.checksum(pgno) !== 0n) returned.push(pgno)
        continue
      }
    }
    const piece = { pgno, offset, bytes }
    if (changesNothing(database, piece) || (length < pageSize && isInWal(database, piece))) continue
    if (mayBeEncryptedAnew(database, pgno)) {
      if (pages.frame(pgno) < 0) returned.push(pgno)
      encrypted.push(pgno)
      continue
    }
    throw rejectUncommitted(database.events, database.name, caller, pgno)
  }
  try {
    perform()
  } catch (error) {
    // Any part of the bytes may be in the file.
    for (const pgno of returned) pages.returnToWal(pgno)
    throw error
  }
  for (const pgno of copied) pages.clearFrame(pgno)
  for (const pgno of returned) pages.returnToWal(pgno)
  for (const pgno of encrypted) pages.reencrypted.add(pgno)
  if (!isAligned) noteWholePages(database, position, data.length)
  if (wasInFile !== (pages.pagesInWal === 0)) database.publish()
}

/** The pages whose newest version is in the file from now on. Shared by all databases of the thread. */
const copied: Pgno[] = []
/**
 * The pages whose newest version was in the file, and is no longer: a page had one content, then another, then the
 * first again. A checkpoint that wrote the first for the newest is followed by one that a reader holds back at the
 * second.
 */
const returned: Pgno[] = []
/** The pages that get other bytes than each of their versions in the WAL. */
const encrypted: Pgno[] = []

/**
 * SQLite3MC encrypts a page anew, with another nonce, when a checkpoint copies it. Nobody without the key can tell that
 * from another content. Until the WAL ends, its frame counts, and then the log follows the file (wal-correction.ts).
 */
function mayBeEncryptedAnew({ encryption, pages }: CapturedDatabase, pgno: Pgno): boolean {
  return encryption !== 'none' && pages.versions.hasAny(pgno)
}

/** The kernel may cut a write within a page: the pages at its ends are complete when their last piece has come. */
function noteWholePages(database: CapturedDatabase, position: number, length: number): void {
  const { pages, pageSize } = database
  const first = Math.floor(position / pageSize) + 1
  const last = Math.floor((position + length - 1) / pageSize) + 1
  for (const pgno of new Set([first, last])) {
    if (pages.frame(pgno) >= 0 && pageChecksum(pgno, database.readFile(pgno)) === pages.checksum(pgno)) {
      pages.clearFrame(pgno)
    }
  }
}

/** Whether the file holds these bytes already. What lies beyond its end reads as zeros. */
function changesNothing(database: CapturedDatabase, { pgno, offset, bytes }: Piece): boolean {
  const present = scratch.subarray(0, bytes.length)
  const at = (pgno - 1) * database.pageSize + offset
  const n = database.withFile((fd) => database.files.read(fd, present, 0, present.length, at))
  present.fill(0, n)
  return Buffer.compare(present, bytes) === 0
}

/** Whether some version of the page in the WAL has these bytes at that place. */
function isInWal(database: CapturedDatabase, { pgno, offset, bytes }: Piece): boolean {
  const { pages, pageSize, files, walFd } = database
  if (walFd < 0) return false
  const present = scratch.subarray(0, bytes.length)
  for (const frame of pages.versions.frames(pgno)) {
    const n = files.read(walFd, present, 0, present.length, frameOffset(frame, pageSize) + FRAME_HEADER_SIZE + offset)
    if (n === present.length && Buffer.compare(present, bytes) === 0) return true
  }
  return false
}

const scratch = new Uint8Array(65536)
