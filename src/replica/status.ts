/** The replication state of one database on a replica. */
export interface ReplicationStatus {
  readonly state: 'following' | 'lagging' | 'resyncing'
  /** Transactions that were received and are not applied yet. */
  readonly behind?: number
  readonly reason?: string
}
