/** Scans the records of one segment. */

import { Decoder } from '../ltx/codec/decoder.ts'
import { LTXError } from '../ltx/format/errors.ts'
import type { Header } from '../ltx/format/header.ts'
import { HEADER_SIZE, TRAILER_SIZE, unmarshalHeader } from '../ltx/format/header.ts'
import { type Checksum, formatTXID } from '../ltx/format/types.ts'
import type { Files } from '../util/files.ts'
import { MAX_TXID } from './limits.ts'
import { readLaterFormat, readRecordFrame, RECORD_FRAME_SIZE } from './record.ts'

export interface LogEntry {
  readonly header: Header
  readonly postApplyChecksum: Checksum
  /** The offset of the LTX file in the segment. */
  readonly offset: number
  readonly sizeBytes: number
}

/** Why a scan ended before the end of the file. */
export interface Damage {
  readonly offset: number
  readonly problem: string
  /** The record is not damaged: a later version wrote it. */
  readonly laterFormat?: number
}

export interface ScanResult {
  /** The end of the last whole record. */
  readonly end: number
  readonly damage: Damage | undefined
}

const CHUNK_SIZE = 1 << 20

/**
 * Visits each whole record from `start` on. It reads headers and trailers, but pages only if `verify` asks for that
 * record: then the file's checksum is verified too, so that a torn page inside a complete record is found.
 */
export function scanSegment(
  files: Files,
  fd: number,
  start: number,
  verify: (header: Header, sizeBytes: number) => boolean,
  visit: (entry: LogEntry) => void,
): ScanResult {
  const fileSize = files.size(fd)
  const head = new Uint8Array(RECORD_FRAME_SIZE + HEADER_SIZE)
  const tail = new Uint8Array(TRAILER_SIZE)
  let at = start
  while (at < fileSize) {
    const damaged = (problem: string): ScanResult => ({ end: at, damage: { offset: at, problem } })
    const n = files.read(fd, head, 0, head.length, at)
    const sizeBytes = readRecordFrame(head.subarray(0, n))
    if (sizeBytes === undefined) {
      const laterFormat = readLaterFormat(head.subarray(0, n))
      const damage = { offset: at, problem: 'no record begins here' }
      return { end: at, damage: laterFormat === undefined ? damage : { ...damage, laterFormat } }
    }
    const offset = at + RECORD_FRAME_SIZE
    if (offset + sizeBytes > fileSize) return damaged(`a record of ${sizeBytes} bytes ends beyond the file`)
    try {
      const header = unmarshalHeader(head.subarray(RECORD_FRAME_SIZE))
      if (header.maxTXID > MAX_TXID) return damaged(`TXID ${formatTXID(header.maxTXID)} is too large`)
      files.read(fd, tail, 0, TRAILER_SIZE, offset + sizeBytes - TRAILER_SIZE)
      const postApplyChecksum = new DataView(tail.buffer).getBigUint64(0) as Checksum
      if (verify(header, sizeBytes)) verifyFile(files, fd, offset, sizeBytes)
      visit({ header, postApplyChecksum, offset, sizeBytes })
    } catch (error) {
      if (!(error instanceof LTXError)) throw error
      return damaged(error.message)
    }
    at = offset + sizeBytes
  }
  return { end: at, damage: undefined }
}

/** The header of the first record; undefined if there is none, or no whole one. */
export function firstHeader(files: Files, fd: number): Header | undefined {
  const head = new Uint8Array(RECORD_FRAME_SIZE + HEADER_SIZE)
  const n = files.read(fd, head, 0, head.length, 0)
  if (n < head.length || readRecordFrame(head) === undefined) return undefined
  try {
    return unmarshalHeader(head.subarray(RECORD_FRAME_SIZE))
  } catch (error) {
    if (!(error instanceof LTXError)) throw error
    return undefined
  }
}

/** Visits the pages of one record, ascending. The views are valid during the call. */
export function readPages(
  files: Files,
  fd: number,
  entry: Pick<LogEntry, 'offset' | 'sizeBytes'>,
  visit: (pgno: number, page: Uint8Array) => void,
): void {
  decodeFile(files, fd, entry.offset, entry.sizeBytes, visit)
}

function verifyFile(files: Files, fd: number, offset: number, sizeBytes: number): void {
  decodeFile(files, fd, offset, sizeBytes, () => {})
}

function decodeFile(
  files: Files,
  fd: number,
  offset: number,
  sizeBytes: number,
  visit: (pgno: number, page: Uint8Array) => void,
): void {
  const decoder = new Decoder()
  const chunk = new Uint8Array(Math.min(CHUNK_SIZE, sizeBytes))
  for (let done = 0; done < sizeBytes;) {
    const n = files.read(fd, chunk, 0, Math.min(chunk.length, sizeBytes - done), offset + done)
    if (n === 0) throw new LTXError(`the file ends ${sizeBytes - done} bytes early`)
    decoder.push(chunk.subarray(0, n))
    done += n
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) visit(frame.pgno, frame.page())
  }
  decoder.end()
}
