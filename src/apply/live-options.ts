export interface LiveDatabaseOptions {
  /** Every write is durable on return. */
  readonly durable: boolean
  /** A checkpoint is due each time the WAL has grown by this many frames. */
  readonly checkpointFrames: number
  /** Limit of a WAL that a reader prevents from restarting. */
  readonly maxWalBytes: number
  /** How long one attempt waits for readers in rollback mode. */
  readonly busyMs: number
}
