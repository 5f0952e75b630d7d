/** What a running node says of itself: the body of `GET /status`, and what `ltxd status` prints. */

export interface BackupStatus {
  /** Last transaction in the backup: sixteen hex digits. */
  readonly txid: string
  /** Age of the oldest transaction that is not in the backup yet; 0 when it has all of them. */
  readonly lagMs: number
  /** The last attempt's failure; absent once one succeeded. */
  readonly lastError?: string
}

export interface DatabaseStatus {
  /** Path relative to the mount. */
  readonly name: string
  /** `txid/checksum`, sixteen hex digits each. */
  readonly position: string
  readonly pageSize: number
  readonly sizePages: number
  readonly journalMode: string
  /** First transaction that the LTX log still holds: sixteen hex digits; absent while the log is empty. */
  readonly logFirstTXID?: string
  readonly logBytes: number
  /** Transactions captured since the node started. */
  readonly commitCount: number
  /** Why the database is not served; absent when it is. */
  readonly error?: string
  readonly backup?: BackupStatus
}

export interface NodeStatus {
  readonly version: string
  /** Sixteen hex digits. */
  readonly nodeId: string
  readonly pid: number
  readonly startedAtMs: number
  readonly role: 'primary'
  readonly mount: { readonly dir: string }
  readonly data: { readonly dir: string }
  /** `url` carries no secrets. */
  readonly backup?: { readonly url: string }
  readonly databases: readonly DatabaseStatus[]
}
