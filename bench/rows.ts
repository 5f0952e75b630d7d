import { bulkInsert } from './bulk-insert.ts'
import { commitByCount } from './commit-by-count.ts'
import { commitBySize } from './commit-by-size.ts'
import { failover } from './failover.ts'
import { fiftyDatabases } from './fifty-databases.ts'
import type { Row } from './harness/row.ts'
import { memory } from './memory.ts'
import { newReplica } from './new-replica.ts'
import { pointReads } from './point-reads.ts'
import { readsBesideWriter } from './reads-beside-writer.ts'
import { replicaBacklog } from './replica-backlog.ts'
import { replicaBesideBegin } from './replica-beside-begin.ts'
import { replicaLagFullSpeed } from './replica-lag-full-speed.ts'
import { replicaLagPaced } from './replica-lag-paced.ts'
import { replicaReads } from './replica-reads.ts'
import { writeRollbackFull } from './write-rollback-full.ts'
import { writeWalFull } from './write-wal-full.ts'
import { writeWalNormal } from './write-wal-normal.ts'

/** The rows of one node, in the order in which they run and print. */
export const ROWS: readonly Row[] = [
  writeWalNormal,
  writeWalFull,
  writeRollbackFull,
  pointReads,
  readsBesideWriter,
  bulkInsert,
  fiftyDatabases,
  commitBySize,
  commitByCount,
  memory,
]

/** The name for all rows of LTX files (ltx/rows.ts). */
export const LTX = 'ltx'

/** The name for all of the following rows. */
export const CLUSTER = 'cluster'

/** The rows of a primary and its replicas. */
export const CLUSTER_ROWS: readonly Row[] = [
  replicaLagPaced,
  replicaLagFullSpeed,
  replicaReads,
  replicaBesideBegin,
  replicaBacklog,
  newReplica,
  failover,
]
