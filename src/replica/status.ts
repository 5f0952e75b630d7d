/** How a database of a replica follows its primary's. */
export interface ReplicationStatus {
  readonly state: 'following' | 'lagging' | 'resyncing'
  /** Transactions that have arrived and are not applied yet. */
  readonly behind?: number
  readonly reason?: string
}
