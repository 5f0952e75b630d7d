/**
 * The format of a segment: records, one after another, each a 24-byte frame and an LTX file.
 *
 * | at | size | field                                        |
 * |----|------|----------------------------------------------|
 * | 0  | 8    | magic `LTXLOG1\n`                            |
 * | 8  | 8    | size of the LTX file in bytes, big-endian    |
 * | 16 | 8    | the same, complemented                       |
 *
 * A record's frame is written after its LTX file, or together with it in one write, so a record without a valid frame
 * is unfinished. The LTX file's own checksum protects the rest.
 */

import { HEADER_SIZE, TRAILER_SIZE } from '../ltx/format/header.ts'

export const RECORD_FRAME_SIZE = 24

/** The size of the smallest LTX file: header, end of pages, end of index, index length, trailer. */
const MIN_RECORD_SIZE = HEADER_SIZE + 6 + 1 + 8 + TRAILER_SIZE

/** A larger size than a 281 TB database needs is damage (I10). */
const MAX_RECORD_SIZE = 2 ** 48

/** The digit in the magic. */
export const RECORD_FORMAT = 1

/** MAGIC_HIGH and MAGIC_LOW, as text. */
export const RECORD_MAGIC = 'LTXLOG1\n'
const MAGIC_HIGH = 0x4c54584c
const MAGIC_LOW = 0x4f47310a

export function writeRecordFrame(into: Uint8Array, sizeBytes: number): void {
  const view = new DataView(into.buffer, into.byteOffset, RECORD_FRAME_SIZE)
  const high = Math.floor(sizeBytes / 2 ** 32)
  view.setUint32(0, MAGIC_HIGH)
  view.setUint32(4, MAGIC_LOW)
  view.setUint32(8, high)
  view.setUint32(12, sizeBytes >>> 0)
  view.setUint32(16, ~high)
  view.setUint32(20, ~sizeBytes)
}

/** The number in the magic of a record that a later version wrote; undefined if `bytes` begin with no such record. */
export function readLaterFormat(bytes: Uint8Array): number | undefined {
  const found = /^LTXLOG([2-9])\n$/.exec(Buffer.from(bytes.subarray(0, 8)).toString('latin1'))?.[1]
  return found === undefined ? undefined : Number(found)
}

/** The LTX file's size; undefined if `bytes` do not begin with a valid frame. */
export function readRecordFrame(bytes: Uint8Array): number | undefined {
  if (bytes.length < RECORD_FRAME_SIZE) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, RECORD_FRAME_SIZE)
  if (view.getUint32(0) !== MAGIC_HIGH || view.getUint32(4) !== MAGIC_LOW) return undefined
  const high = view.getUint32(8)
  const low = view.getUint32(12)
  if (view.getUint32(16) !== ~high >>> 0 || view.getUint32(20) !== ~low >>> 0) return undefined
  const sizeBytes = high * 2 ** 32 + low
  return sizeBytes >= MIN_RECORD_SIZE && sizeBytes <= MAX_RECORD_SIZE ? sizeBytes : undefined
}
