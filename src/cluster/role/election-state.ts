/** What a candidate knows of the others (election.ts). */

export interface Rival {
  readonly nodeId: string
  readonly hostname: string
}

export interface Election {
  /** The state of the lease's key (recordKey) that this election is about. */
  readonly of: string
  /** Other candidates have published by then. */
  readonly settledAtMs: number
  /** When the candidacies were last read; undefined while they are. */
  readonly readAtMs: number | undefined
  /** A candidate that has more. */
  readonly ahead: Rival | undefined
  /** Since when this node knows of one that has more. */
  readonly aheadSinceMs: number | undefined
}
