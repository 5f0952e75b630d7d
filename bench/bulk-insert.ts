import { sideBySide, singleClient } from './harness/row.ts'

const ROWS = 200_000

/** One transaction of many pages: the cost of bytes, not of commits. */
export const bulkInsert = sideBySide('bulk-insert', [
  singleClient(
    'bulk-insert',
    'bulk insert, rows/s in one tx',
    { journalMode: 'WAL', synchronous: 'NORMAL' },
    { kind: 'bulk', rows: ROWS },
  ),
])
