import { sideBySide, singleClient } from './harness/row.ts'

/** Reads by primary key, each in a read transaction: the cost of locks and of the check for a hot journal. */
export const pointReads = sideBySide(
  'point-reads',
  (['WAL', 'DELETE', 'PERSIST'] as const).map((journalMode) =>
    singleClient(
      `read-${journalMode.toLowerCase()}`,
      `point reads/s, ${journalMode}`,
      { journalMode, synchronous: 'NORMAL' },
      { kind: 'read' },
    ),
  ),
)
