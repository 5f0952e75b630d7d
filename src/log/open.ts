/** Reads what recovery needs to know of a database's log, and opens the log for appending. */

import assert from 'node:assert/strict'
import fs from 'node:fs'
import type { Header } from '../ltx/format/header.ts'
import type { Position, TXID } from '../ltx/format/types.ts'
import { EMPTY_CHECKSUM, nextTXID } from '../ltx/format/types.ts'
import type { Files } from '../util/files.ts'
import { parentOf, withFile } from '../util/files.ts'
import { UnknownFormatError } from '../util/format-number.ts'
import { StateDamagedError } from '../util/state-file.ts'
import { inspectRemainder, type Remainder } from './damage.ts'
import { CorruptLogError } from './errors.ts'
import { RECORD_FORMAT } from './record.ts'
import { removeRewritten } from './rewrite.ts'
import type { Damage, LogEntry } from './scan.ts'
import { firstHeader, scanSegment } from './scan.ts'
import type { SegmentName } from './segments.ts'
import { listSegments } from './segments.ts'
import { createLog, readBase, readSynced, ZERO_POSITION } from './store.ts'
import type { LogWriterOptions } from './writer.ts'
import { LogWriter } from './writer.ts'

/** A record, and the path of its segment. */
export interface LocatedEntry extends LogEntry {
  readonly segment: string
}

export interface LogState {
  readonly dir: string
  readonly base: Position
  /** The position up to which the database file is durable. */
  readonly synced: Position
  /** The first transaction that the log still holds. */
  readonly first: TXID | undefined
  readonly last: Position
  /** The records from the synced transaction, or from the requested one, to the last. */
  readonly entries: readonly LocatedEntry[]
  /** The end of the last whole record, in the segment that is the last one once `torn` is cut. */
  readonly end: number
  readonly torn: TornTail | undefined
  /** Damaged files beside the segments that recovery does without, in words. */
  readonly problems: readonly string[]
}

/** An incomplete record and everything after it, which is to be cut. */
export interface TornTail {
  readonly path: string
  readonly at: number
  readonly holdsRecords: boolean
  /** How many whole transactions of this history are cut with it: a power loss lost one before them. */
  readonly whole: number
  /**
   * The segments after it. Only a power loss leaves some: a segment begins before the one before it is durable, so that
   * one may end early.
   */
  readonly later: readonly string[]
}

/**
 * Records that the database file already holds durably are verified only up to this size: recovery does not need them.
 */
const MAX_PROVEN_SIZE = 16 << 20

/**
 * Reads the log from the synced transaction on, or from `from`. Changes nothing. Throws CorruptLogError for damage that
 * a crash cannot explain, and UnknownFormatError for what a later version wrote. `isClean`: a clean stop left the log,
 * and nothing has changed it since.
 */
export function inspectLog(files: Files, dir: string, from?: TXID, isClean = false): LogState {
  const base = readBase(files, dir)
  const segments = listSegments(files, dir)
  const problems: string[] = []
  const synced = syncedOrOldest(files, dir, segments, problems)
  const begin = from ?? synced.txid
  const start = Math.max(
    0,
    segments.findLastIndex(({ first }) => first <= begin),
  )
  const entries: LocatedEntry[] = []
  let torn: TornTail | undefined
  let end = 0
  /** A torn tail is acceptable only if the database file does not hold the transactions after the tear. */
  const tear = (segment: SegmentName, damage: Damage, fd: number | undefined, later: SegmentName[]) => {
    const { offset, problem, laterFormat } = damage
    if (laterFormat !== undefined) throw new UnknownFormatError(segment.path, laterFormat, [RECORD_FORMAT])
    const reached = entries.at(-1)?.header.maxTXID ?? base.txid
    const found = fd === undefined ? NOTHING_FOLLOWS : inspectRemainder(files, fd, offset, reached)
    const whole = found.whole + countRecords(files, later)
    if (reached < synced.txid || found.isDamage) throw new CorruptLogError(segment.path, offset, problem, whole)
    torn = {
      path: segment.path,
      at: end,
      holdsRecords: found.holdsRecords,
      whole,
      later: later.map(({ path }) => path),
    }
  }
  for (let i = start; i < segments.length && torn === undefined; i++) {
    const segment = segments[i] as SegmentName
    const later = segments.slice(i + 1)
    const verify = ({ maxTXID }: Header, sizeBytes: number) =>
      maxTXID > synced.txid || (later.length === 0 && !isClean && sizeBytes <= MAX_PROVEN_SIZE)
    withFile(files, segment.path, fs.constants.O_RDONLY, (fd) => {
      const scan = scanSegment(files, fd, 0, verify, (entry) => {
        assertGapless(segment, entries.at(-1), entry)
        entries.push({ ...entry, segment: segment.path })
      })
      end = scan.end
      if (scan.damage !== undefined) tear(segment, scan.damage, fd, later)
    })
    const next = entries.at(-1) === undefined ? segment.first : nextTXID((entries.at(-1) as LogEntry).header.maxTXID)
    if (torn === undefined && later[0] !== undefined && later[0].first !== next) {
      tear(segment, { offset: end, problem: `transaction ${later[0].first} follows ${next - 1n}` }, undefined, later)
    }
  }
  const last = entries.at(-1)
  return {
    dir,
    base,
    synced,
    first: segments[0]?.first,
    last: last === undefined ? base : { txid: last.header.maxTXID, checksum: last.postApplyChecksum },
    entries: entries.filter(({ header }) => header.maxTXID >= begin),
    end,
    torn,
    problems,
  }
}

const NOTHING_FOLLOWS: Remainder = { holdsRecords: false, whole: 0, isDamage: false }

/**
 * The synced position. If its file is damaged, the position before the oldest transaction of the log: retention never
 * removes a transaction that the database file may lack.
 */
function syncedOrOldest(files: Files, dir: string, segments: readonly SegmentName[], problems: string[]): Position {
  try {
    return readSynced(files, dir)
  } catch (error) {
    if (!(error instanceof StateDamagedError)) throw error
    const base = readBase(files, dir)
    problems.push(error.message)
    const oldest = segments.map((segment) => firstOf(files, segment)).find((header) => header !== undefined)
    if (oldest === undefined) return base
    return { txid: (oldest.minTXID - 1n) as TXID, checksum: oldest.preApplyChecksum || EMPTY_CHECKSUM }
  }
}

function firstOf(files: Files, { path }: SegmentName): Header | undefined {
  return withFile(files, path, fs.constants.O_RDONLY, (fd) => firstHeader(files, fd))
}

function countRecords(files: Files, segments: readonly SegmentName[]): number {
  let count = 0
  for (const { path } of segments) {
    withFile(files, path, fs.constants.O_RDONLY, (fd) =>
      scanSegment(
        files,
        fd,
        0,
        () => false,
        () => count++,
      ),
    )
  }
  return count
}

/** Asserts I2 between consecutive records. */
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

/**
 * Cuts the torn tail. If it holds whole records, it is copied to `copyPath` first; later segments are copied beside
 * that.
 */
export function cutTornTail(files: Files, torn: TornTail, copyPath: string): void {
  for (const [i, path] of Array.from(torn.later.entries()).reverse()) {
    withFile(files, path, fs.constants.O_RDONLY, (fd) => {
      const size = files.size(fd)
      if (size > 0) copyRange(files, fd, 0, size, `${copyPath}.${i + 1}`)
    })
    files.unlink(path)
  }
  withFile(files, torn.path, fs.constants.O_RDWR, (fd) => {
    const size = files.size(fd)
    assert.ok(torn.at <= size)
    if (torn.holdsRecords) copyRange(files, fd, torn.at, size, copyPath)
    files.truncate(fd, torn.at)
    files.sync(fd)
  })
  files.syncDirectory(parentOf(torn.path))
}

function copyRange(files: Files, fd: number, from: number, to: number, path: string): void {
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

/** Opens a database's log for appending after recovery, creating it if it is missing. */
export function openLog(files: Files, dir: string, options: LogWriterOptions): LogWriter {
  createLog(files, dir, ZERO_POSITION)
  removeRewritten(files, dir)
  const state = inspectLog(files, dir)
  assert.equal(state.torn, undefined, 'recovery has cut the torn tail')
  return continueLog(files, state, options)
}

/**
 * A writer for a log without a torn tail. What a killed node appended may be in the kernel alone: all of it is durable
 * on return, because nobody fsyncs these segments again.
 */
export function continueLog(files: Files, state: LogState, options: LogWriterOptions): LogWriter {
  const { dir, synced, last, entries, end } = state
  const written = entries.filter(({ header }) => header.maxTXID > synced.txid)
  for (const path of new Set(written.map(({ segment }) => segment))) {
    withFile(files, path, fs.constants.O_RDONLY, (fd) => files.sync(fd))
  }
  if (written.length > 0) files.syncDirectory(dir)
  return new LogWriter(files, dir, last, end, options)
}
