import { bulkInsert } from './bulk-insert.ts'
import type { Row } from './harness/row.ts'
import { pointReads } from './point-reads.ts'
import { readsBesideWriter } from './reads-beside-writer.ts'
import { writeRollbackFull } from './write-rollback-full.ts'
import { writeWalFull } from './write-wal-full.ts'
import { writeWalNormal } from './write-wal-normal.ts'

/** Every row, in the order in which they run and print. */
export const ROWS: readonly Row[] = [
  writeWalNormal,
  writeWalFull,
  writeRollbackFull,
  pointReads,
  readsBesideWriter,
  bulkInsert,
]
