/** What the bytes of a WAL say about the header of its index. */

import type { ReadAt } from '../sqlite/journal.ts'
import { FRAME_HEADER_SIZE, frameField, frameOffset, frameSize, WAL_HEADER_SIZE } from '../sqlite/wal.ts'
import { FRESH_WAL_INDEX, type WalIndexHeader } from '../sqlite/wal-index.ts'
import { scanWal } from '../sqlite/wal-scan.ts'
import { NotDatabaseError } from './errors.ts'

/** The index of a WAL that nobody has open. */
export function recoveredHeader(read: ReadAt, sizeBytes: number): WalIndexHeader {
  const found = scanWal(read, sizeBytes)
  if (found === undefined) return FRESH_WAL_INDEX
  const { pageSize, salt1, salt2, bigEndianChecksums } = found.header
  const header = { ...FRESH_WAL_INDEX, pageSize, salt1, salt2, bigEndianChecksums }
  const last = found.transactions.at(-1)
  return last === undefined ? header : headerAt(read, header, last)
}

/**
 * The index with the transactions after its end, if there are any. Whoever wrote them ended before they were published,
 * or could not write the last of several. The node's log has them, and whoever began the WAL anew would lose them for
 * its readers.
 */
export function headerWithRest(read: ReadAt, sizeBytes: number, current: WalIndexHeader): WalIndexHeader | undefined {
  const found = scanWal(read, sizeBytes)
  if (found?.header.salt1 !== current.salt1 || found.header.salt2 !== current.salt2) return undefined
  const last = found.transactions.at(-1)
  if (last === undefined || last.end <= frameOffset(current.maxFrame, found.header.pageSize)) return undefined
  const { pageSize } = found.header
  return headerAt(read, { ...current, pageSize, change: (current.change + 1) >>> 0 }, last)
}

/** The page numbers of the frames after `from`. Throws NotDatabaseError. */
export function framePgnos(read: ReadAt, path: string, header: WalIndexHeader, from = 0): Uint32Array {
  const pgnos = new Uint32Array(header.maxFrame - from)
  for (let frame = from; frame < header.maxFrame; frame++) {
    const bytes = read(frameOffset(frame, header.pageSize), 4)
    if (bytes.length < 4) throw new NotDatabaseError(`${path}-wal`, 'ends within its last transaction')
    pgnos[frame - from] = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  }
  return pgnos
}

function headerAt(
  read: ReadAt,
  header: WalIndexHeader,
  last: { readonly end: number; readonly commit: number },
): WalIndexHeader {
  const { pageSize } = header
  const bytes = read(last.end - frameSize(pageSize), FRAME_HEADER_SIZE)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return {
    ...header,
    maxFrame: (last.end - WAL_HEADER_SIZE) / frameSize(pageSize),
    sizePages: last.commit,
    frameChecksum1: frameField.checksum1(view, 0),
    frameChecksum2: frameField.checksum2(view, 0),
  }
}
