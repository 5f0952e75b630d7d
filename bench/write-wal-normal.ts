import { sideBySide, singleClient } from './harness/row.ts'

/** One-row UPDATE transactions without an fsync at commit: the bare cost of the node for each commit. */
export const writeWalNormal = sideBySide('write-wal-normal', [
  singleClient(
    'write-wal-normal',
    'write tx/s, WAL NORMAL',
    { journalMode: 'WAL', synchronous: 'NORMAL' },
    { kind: 'update' },
  ),
])
