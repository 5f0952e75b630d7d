import { replicaLag } from './harness/replica-lag.ts'

const TRANSACTIONS = 5_000

/**
 * The same while the writer commits at full speed. The rate is the replica's, from the first stamp to the last visible
 * row.
 */
export const replicaLagFullSpeed = replicaLag(
  'replica-lag-full-speed',
  `the same, ${TRANSACTIONS.toLocaleString('en-US')} tx at full speed`,
  () => ({ count: TRANSACTIONS }),
)
