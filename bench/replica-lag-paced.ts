import { replicaLag } from './harness/replica-lag.ts'

const PER_SECOND = 200

/** From the begin of a commit here to the sight of its row there, while there is time for each. */
export const replicaLagPaced = replicaLag(
  'replica-lag-paced',
  `commit here → row visible there, ${PER_SECOND} tx/s`,
  (seconds) => ({ count: Math.ceil(seconds * PER_SECOND), perSecond: PER_SECOND }),
)
