/** The replication state of one database on a replica. */
export interface ReplicationStatus {
  readonly state: 'following' | 'lagging' | 'resyncing'
  /** How many transactions were received but are not applied yet. */
  readonly behind?: number
  readonly reason?: string
}
