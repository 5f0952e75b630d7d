import { sideBySide, singleClient } from './harness/row.ts'

/** One-row UPDATE transactions with one fsync each. */
export const writeWalFull = sideBySide('write-wal-full', [
  singleClient(
    'write-wal-full',
    'write tx/s, WAL FULL',
    { journalMode: 'WAL', synchronous: 'FULL' },
    { kind: 'update' },
  ),
])
