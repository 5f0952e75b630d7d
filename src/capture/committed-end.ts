import { frameField, WAL_HEADER_SIZE } from '../sqlite/wal.ts'
import { WalChain } from './wal-chain.ts'
import type { WalFrames } from './wal-frames.ts'

/** The end of the last transaction in the file, as SQLite would recover it. */
export function endOfCommits(frames: WalFrames, sizeBytes: number): number {
  const { size, header } = frames
  const chain = new WalChain()
  chain.begin(header)
  let committed = 0
  for (let at = WAL_HEADER_SIZE; at + size <= sizeBytes; at += size) {
    const frame = frames.frameAt(at)
    const view = new DataView(frame.buffer, frame.byteOffset, size)
    if (frameField.pgno(view, 0) === 0 || frames.saltsOf(view) !== 'own') break
    if (!chain.isContinuedBy(view, size, false)) break
    chain.accept()
    if (frameField.commit(view, 0) !== 0) committed = at + size
  }
  return committed
}
