import { sideBySide, singleClient } from './harness/row.ts'

/** One-row UPDATE transactions with a rollback journal, in each way to end one. */
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
