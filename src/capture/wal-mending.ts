import { FRAME_HEADER_SIZE, frameField, WalChecksum } from '../sqlite/wal.ts'
import type { Sums } from './wal-chain.ts'
import type { OpenWal, WalFrames } from './wal-frames.ts'

/** Where the salts begin in a frame's header. The checksums follow them. */
const SALTS_AT = 8

/**
 * Gives the frames from `start` to `end` the salts and checksums by which SQLite's recovery finds them. `from` are the
 * sums at `start`. Returns those at `end`.
 *
 * SQLite's own connections read frames without them, because the wal-index lists them. Recovery would end at the first
 * of them, and lose every later commit.
 */
export function mendFrames({ files, walFd }: OpenWal, frames: WalFrames, start: number, end: number, from: Sums): Sums {
  const { pageSize, salt1, salt2, bigEndianChecksums } = frames.header
  const { size } = frames
  const sum = new WalChecksum().set(from.s1, from.s2)
  const frame = buffer.subarray(0, size)
  const view = new DataView(frame.buffer, frame.byteOffset, size)
  for (let at = start; at < end; at += size) {
    files.read(walFd, frame, 0, size, at)
    sum.update(view, 0, SALTS_AT, bigEndianChecksums).update(view, FRAME_HEADER_SIZE, pageSize, bigEndianChecksums)
    const { s1, s2 } = sum
    if (frames.saltsOf(view) === 'own' && frameField.checksum1(view, 0) === s1 && frameField.checksum2(view, 0) === s2)
      continue
    view.setUint32(SALTS_AT, salt1)
    view.setUint32(SALTS_AT + 4, salt2)
    view.setUint32(SALTS_AT + 8, s1)
    view.setUint32(SALTS_AT + 12, s2)
    files.write(walFd, frame, SALTS_AT, FRAME_HEADER_SIZE - SALTS_AT, at + SALTS_AT)
  }
  return { s1: sum.s1, s2: sum.s2 }
}

/** Shared by all trackers of the thread. Not the buffer of `WalFrames.frameAt`, whose frame the caller still uses. */
const buffer = new Uint8Array(FRAME_HEADER_SIZE + 65536)
