/**
 * Tells a torn tail from damage. A crash leaves a log that ends early; a power loss also leaves sectors that were never
 * written, which are zeros. A bad record without either, which a valid one continues, is damage.
 */

import type { TXID } from '../ltx/format/types.ts'
import type { Files } from '../util/files.ts'
import { readRecordFrame, RECORD_FRAME_SIZE, RECORD_MAGIC } from './record.ts'
import type { LogEntry } from './scan.ts'
import { scanSegment } from './scan.ts'

/** What follows a bad record in its segment. */
export interface Remainder {
  /** The bad record is complete, or something follows that looks like one: the bytes are worth preserving. */
  readonly holdsRecords: boolean
  /** How many valid records follow that continue the log after the bad one. */
  readonly whole: number
  /** A valid record continues the bad one, which no crash explains. */
  readonly isDamage: boolean
}

/** How much of a damaged segment is in memory at a time. */
const SEARCH_BYTES = 1 << 20
/**
 * A disk writes whole sectors, of so many bytes or a multiple. No part of a record that has a beginning, an end or 512
 * bytes is all zeros: a record begins with its magic and ends with a checksum, and pages are compressed.
 */
const SECTOR_SIZE = 512

/** Inspects a segment from a bad record at `from` on. `reached` is the last transaction before it. */
export function inspectRemainder(files: Files, fd: number, from: number, reached: TXID): Remainder {
  const next = nextRecord(files, fd, from, reached)
  const hasHole = holdsHole(files, fd, from, next.at ?? files.size(fd))
  const isComplete = !hasHole && isWithinFile(files, fd, from)
  return {
    holdsRecords: next.looksLikeOne || isComplete,
    whole: next.whole,
    isDamage: next.at !== undefined && !hasHole,
  }
}

/** Whether the bad record has a frame, and the file is long enough for it. */
function isWithinFile(files: Files, fd: number, from: number): boolean {
  const frame = new Uint8Array(RECORD_FRAME_SIZE)
  const sizeBytes = readRecordFrame(frame.subarray(0, files.read(fd, frame, 0, RECORD_FRAME_SIZE, from)))
  return sizeBytes !== undefined && from + RECORD_FRAME_SIZE + sizeBytes <= files.size(fd)
}

interface Next {
  readonly at: number | undefined
  readonly looksLikeOne: boolean
  readonly whole: number
}

/** The next valid record of a transaction after `reached`, and the number of those from there on. */
function nextRecord(files: Files, fd: number, from: number, reached: TXID): Next {
  let looksLikeOne = false
  for (const at of framesAfter(files, fd, from)) {
    looksLikeOne = true
    const entries: LogEntry[] = []
    scanSegment(
      files,
      fd,
      at,
      () => entries.length === 0,
      (entry) => entries.push(entry),
    )
    if ((entries[0]?.header.minTXID ?? 0n) > reached) return { at, looksLikeOne, whole: entries.length }
  }
  return { at: undefined, looksLikeOne, whole: 0 }
}

function* framesAfter(files: Files, fd: number, from: number): Generator<number> {
  const bytes = Buffer.alloc(SEARCH_BYTES)
  // Windows overlap by a frame less a byte, so that no frame lies in two of them and whole in none.
  for (let start = from + 1; ; start += SEARCH_BYTES - RECORD_FRAME_SIZE + 1) {
    const n = files.read(fd, bytes, 0, SEARCH_BYTES, start)
    const last = n - RECORD_FRAME_SIZE
    for (let at = bytes.indexOf(RECORD_MAGIC); at >= 0 && at <= last; at = bytes.indexOf(RECORD_MAGIC, at + 1)) {
      if (readRecordFrame(bytes.subarray(at, at + RECORD_FRAME_SIZE)) !== undefined) yield start + at
    }
    if (n < SEARCH_BYTES) return
  }
}

/** Whether a sector, or the part of one that lies between `from` and `end`, was never written. */
function holdsHole(files: Files, fd: number, from: number, end: number): boolean {
  const bytes = new Uint8Array(SEARCH_BYTES)
  for (let at = from; at < end;) {
    const chunkEnd = Math.min(end, (Math.floor(at / SEARCH_BYTES) + 1) * SEARCH_BYTES)
    const n = files.read(fd, bytes, 0, chunkEnd - at, at)
    if (n === 0) break
    for (let start = at; start < at + n;) {
      const sectorEnd = Math.min(at + n, (Math.floor(start / SECTOR_SIZE) + 1) * SECTOR_SIZE)
      if (bytes.subarray(start - at, sectorEnd - at).every((byte) => byte === 0)) return true
      start = sectorEnd
    }
    at += n
  }
  return false
}
