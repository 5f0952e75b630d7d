import { replicaLag } from './harness/replica-lag.ts'

const PER_SECOND = 200

/** The time from the start of a commit on the primary until its row is visible on the replica, at a moderate pace. */
export const replicaLagPaced = replicaLag(
  'replica-lag-paced',
  `commit here → row visible there, ${PER_SECOND} tx/s`,
  (seconds) => ({ count: Math.ceil(seconds * PER_SECOND), perSecond: PER_SECOND }),
)
