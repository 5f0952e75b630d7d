/** What a candidate knows of the others (election.ts). */

import type { NodeName } from '../../util/node-address.ts'

export interface Election {
  /** The state of the lease's key (recordKey) that this election is about. */
  readonly of: string
  /** Other candidates have published by then. */
  readonly settledAtMs: number
  /** When the candidacies were last read; undefined while they are. */
  readonly readAtMs: number | undefined
  /** The candidates that have more, who has most first. */
  readonly ahead: readonly NodeName[]
  /** The candidate to which it leaves the lease, and since when. */
  readonly yielding: { readonly nodeId: string; readonly sinceMs: number } | undefined
  /** Those that have had their time. Each has it once, or one that comes and goes would hold up the others. */
  readonly yieldedTo: readonly string[]
  /** Nodes of the cluster of which nothing is heard, where the lease has lost its record: one may have led since. */
  readonly absent: readonly NodeName[]
}
