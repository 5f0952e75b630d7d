/** The replication state of one database on a replica. */
export interface ReplicationStatus {
  /**
   * `lagging`: a program on this node holds it up. `failing`: a transaction cannot be applied, and is tried again.
   * `resyncing`: only a snapshot continues it.
   */
  readonly state: 'following' | 'lagging' | 'failing' | 'resyncing'
  /** How many transactions were received but are not applied yet. */
  readonly behind?: number
  readonly reason?: string
}
