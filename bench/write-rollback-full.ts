import { sideBySide, singleClient } from './harness/row.ts'

/** One-row UPDATE transactions in each rollback mode. */
export const writeRollbackFull = sideBySide(
  'write-rollback-full',
  (['DELETE', 'TRUNCATE', 'PERSIST'] as const).map((journalMode) =>
    singleClient(
      `write-${journalMode.toLowerCase()}-full`,
      `write tx/s, ${journalMode} FULL`,
      { journalMode, synchronous: 'FULL' },
      { kind: 'update' },
    ),
  ),
)
