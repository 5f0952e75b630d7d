/** What recovery must know of a database's log, read from its segments; and the log opened for appending. */

import fs from 'node:fs'
import assert from 'node:assert/strict'
import { CorruptLogError } from './errors.ts'
import { RECORD_FRAME_SIZE, readRecordFrame } from './record.ts'
import type { LogEntry } from './scan.ts'
import { scanSegment } from './scan.ts'
import { listSegments } from './segments.ts'
import type { SegmentName } from './segments.ts'
import { ZERO_POSITION, createLog, readBase, readSynced } from './store.ts'
import { LogWriter } from './writer.ts'
import type { LogWriterOptions } from './writer.ts'
import type { Position, TXID } from '../ltx/types.ts'
import { nextTXID } from '../ltx/types.ts'
import type { Files } from '../util/files.ts'
import { withFile } from '../util/files.ts'

/** A record and the segment that holds it. */
export interface LocatedEntry extends LogEntry {
  readonly segment: string
}

export interface LogState {
  readonly dir: string
  readonly base: Position
  /** The database file holds everything up to here durably. */
  readonly synced: Position
  /** First transaction that the log still holds. */
  readonly first: TXID | undefined
  readonly last: Position
  /** From the synced transaction itself, if the log holds it, to the last. */
  readonly entries: readonly LocatedEntry[]
  /** Bytes at the end of the last segment that are no whole record: to be cut. */
  readonly torn: { readonly path: string; readonly at: number; readonly holdsRecords: boolean } | undefined
}

/** Reads the log. Throws CorruptLogError for damage that a crash can't explain. Changes nothing. */
export function inspectLog(files: Files, dir: string): LogState {
  const base = readBase(files, dir)
  const synced = readSynced(files, dir)
  const segments = listSegments(files, dir)
  const start = Math.max(
    0,
    segments.findLastIndex(({ first }) => first <= synced.txid),
  )
  const entries: LocatedEntry[] = []
  let torn: LogState['torn']
  for (const segment of segments.slice(start)) {
    const last = segment === segments.at(-1)
    withFile(files, segment.path, fs.constants.O_RDONLY, (fd) => {
      const { end, damage } = scanSegment(files, fd, 0, last, (entry) => {
        assertGapless(segment, entries.at(-1), entry)
        entries.push({ ...entry, segment: segment.path })
      })
      if (damage === undefined) return
      const reached = entries.at(-1)?.header.maxTXID ?? base.txid
      if (!last || reached < synced.txid) throw new CorruptLogError(segment.path, damage.offset, damage.problem)
      torn = { path: segment.path, at: end, holdsRecords: holdsRecords(files, fd, end) }
    })
  }
  const last = entries.at(-1)
  return {
    dir,
    base,
    synced,
    first: segments[0]?.first,
    last: last === undefined ? base : { txid: last.header.maxTXID, checksum: last.postApplyChecksum },
    entries: entries.filter(({ header }) => header.maxTXID >= synced.txid),
    torn,
  }
}

/** Whether whole-looking records lie beyond the damage: then it was no simple torn tail, and the bytes are worth keeping. */
function holdsRecords(files: Files, fd: number, from: number): boolean {
  const bytes = new Uint8Array(files.size(fd) - from)
  files.read(fd, bytes, 0, bytes.length, from)
  for (let at = 1; at + RECORD_FRAME_SIZE <= bytes.length; at++) {
    if (bytes[at] === 0x4c && readRecordFrame(bytes.subarray(at, at + RECORD_FRAME_SIZE)) !== undefined) return true
  }
  return false
}

/** I2. */
function assertGapless(segment: SegmentName, previous: LogEntry | undefined, entry: LogEntry): void {
  const { header, offset } = entry
  if (previous === undefined) {
    if (header.minTXID !== segment.first)
      throw new CorruptLogError(segment.path, offset, 'the first transaction is not the one in its name')
    return
  }
  if (header.minTXID !== nextTXID(previous.header.maxTXID)) {
    throw new CorruptLogError(segment.path, offset, `transaction ${header.minTXID} follows ${previous.header.maxTXID}`)
  }
  if (header.preApplyChecksum !== previous.postApplyChecksum) {
    throw new CorruptLogError(segment.path, offset, 'pre-apply checksum is not the previous post-apply checksum')
  }
}

/** Cuts what is torn, keeping it under `keepAs` where it held more than half a record. */
export function cutTornTail(files: Files, torn: NonNullable<LogState['torn']>, keepAs: string): void {
  withFile(files, torn.path, fs.constants.O_RDWR, (fd) => {
    const size = files.size(fd)
    assert.ok(torn.at <= size)
    if (torn.holdsRecords) keep(files, fd, torn.at, size, keepAs)
    files.truncate(fd, torn.at)
    files.sync(fd)
  })
}

function keep(files: Files, fd: number, from: number, to: number, path: string): void {
  files.makeDirectory(path.slice(0, path.lastIndexOf('/')))
  const { O_WRONLY, O_CREAT, O_TRUNC } = fs.constants
  withFile(files, path, O_WRONLY | O_CREAT | O_TRUNC, (out) => {
    const chunk = new Uint8Array(1 << 20)
    for (let at = from; at < to;) {
      const n = files.read(fd, chunk, 0, Math.min(chunk.length, to - at), at)
      if (n === 0) break
      files.write(out, chunk, 0, n, at - from)
      at += n
    }
    files.sync(out)
  })
}

/** Opens a database's log for appending where recovery (or nobody yet) left it, creating it if there is none. */
export function openLog(files: Files, dir: string, options: LogWriterOptions): LogWriter {
  createLog(files, dir, ZERO_POSITION)
  const state = inspectLog(files, dir)
  return new LogWriter(files, dir, state.last, endOfLog(state), options)
}

/** The byte after the last record, in the last segment. */
export function endOfLog({ entries }: LogState): number {
  const last = entries.at(-1)
  return last === undefined ? 0 : last.offset + last.sizeBytes
}
