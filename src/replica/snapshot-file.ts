import { open } from 'node:fs/promises'
import { HEADER_SIZE, isSnapshot, TRAILER_SIZE, unmarshalHeader, unmarshalTrailer } from '../ltx/format/header.ts'
import type { Checksum, Position } from '../ltx/format/types.ts'
import { formatChecksum, formatPosition, formatTXID } from '../ltx/format/types.ts'
import { LtxdError } from '../util/errors.ts'

/** The LTX file of a snapshot is not the one that its message announced. */
class SnapshotMismatchError extends LtxdError {
  constructor(expected: Position, problem: string) {
    super('SNAPSHOT_MISMATCH', `a snapshot was announced as ${formatPosition(expected)}, but ${problem}`)
  }
}

/** Compares header and trailer of an LTX file with the position that was announced. Throws SnapshotMismatchError. */
export async function verifySnapshot(path: string, position: Position): Promise<void> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    if (size < HEADER_SIZE + TRAILER_SIZE) throw new SnapshotMismatchError(position, `its file has ${size} bytes`)
    const head = new Uint8Array(HEADER_SIZE)
    const tail = new Uint8Array(TRAILER_SIZE)
    await file.read(head, 0, HEADER_SIZE, 0)
    await file.read(tail, 0, TRAILER_SIZE, size - TRAILER_SIZE)
    const header = unmarshalHeader(head)
    const { postApplyChecksum: checksum } = unmarshalTrailer(tail, header, size - TRAILER_SIZE)
    const { maxTXID: txid } = header
    if (!isSnapshot(header)) throw new SnapshotMismatchError(position, 'its file is not a whole database')
    if (txid !== position.txid || checksum !== position.checksum) {
      throw new SnapshotMismatchError(
        position,
        `its file is ${formatTXID(txid)}/${formatChecksum(checksum as Checksum)}`,
      )
    }
  } finally {
    await file.close()
  }
}
