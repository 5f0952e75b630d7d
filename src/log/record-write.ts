import assert from 'node:assert/strict'
import { Encoder } from '../ltx/codec/encoder.ts'
import type { Header } from '../ltx/format/header.ts'
import type { Checksum } from '../ltx/format/types.ts'
import type { Files } from '../util/files.ts'
import { RECORD_FRAME_SIZE, writeRecordFrame } from './record.ts'

/** Records up to this size are written in one write. */
const BUFFER_SIZE = 1 << 20

/**
 * Writes one record at `start`. `encode` writes its pages and returns the database checksum after it. `confirm` is
 * called when all but the record's frame is written, and may throw.
 */
export function writeRecord(
  files: Files,
  fd: number,
  start: number,
  header: Header,
  encode: (encoder: Encoder) => Checksum,
  confirm: () => void,
): { end: number; postApplyChecksum: Checksum } {
  let filled = RECORD_FRAME_SIZE
  let flushed = 0
  const flush = () => {
    files.write(fd, buffer, 0, filled, start + flushed)
    flushed += filled
    filled = 0
  }
  buffer.fill(0, 0, RECORD_FRAME_SIZE)
  const encoder = new Encoder(header, (chunk) => {
    for (let done = 0; done < chunk.length;) {
      if (filled === BUFFER_SIZE) flush()
      const n = Math.min(chunk.length - done, BUFFER_SIZE - filled)
      buffer.set(chunk.subarray(done, done + n), filled)
      filled += n
      done += n
    }
  })
  const postApplyChecksum = encode(encoder)
  const { sizeBytes } = encoder.finish(postApplyChecksum)
  if (flushed === 0) {
    confirm()
    writeRecordFrame(buffer, sizeBytes)
    flush()
  } else {
    flush()
    confirm()
    writeRecordFrame(buffer, sizeBytes)
    files.write(fd, buffer, 0, RECORD_FRAME_SIZE, start)
  }
  assert.equal(flushed, RECORD_FRAME_SIZE + sizeBytes)
  return { end: start + flushed, postApplyChecksum }
}

/** Shared by all logs of the thread: the data plane appends one record at a time. */
const buffer = new Uint8Array(BUFFER_SIZE)
