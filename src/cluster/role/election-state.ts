/** What a candidate knows of the others (election.ts). */

import type { NodeName } from '../../util/node-address.ts'

export interface Election {
  /** The state of the lease's key (recordKey) that this election is about. */
  readonly of: string
  /** Other candidates have published by then. */
  readonly settledAtMs: number
  /** When the candidacies were last read; undefined while they are. */
  readonly readAtMs: number | undefined
  /** A candidate that has more. */
  readonly ahead: NodeName | undefined
  /** Since when this node knows of one that has more. */
  readonly aheadSinceMs: number | undefined
  /** Nodes of the cluster of which nothing is heard, where the lease has lost its record: one may have led since. */
  readonly absent: readonly NodeName[]
}
