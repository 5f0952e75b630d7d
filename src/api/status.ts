import type { ReplicationStatus } from '../replica/status.ts'

/** What a running node says of itself: the body of `GET /status`, and what `ltxd status` prints. */

export interface BackupStatus {
  /** Last transaction in the backup: sixteen hex digits. */
  readonly txid: string
  /** Age of the oldest transaction that is not in the backup yet; 0 when it has all of them. */
  readonly lagMs: number
  /** The last attempt's failure; absent once one succeeded. */
  readonly lastError?: string
}

/** A replica, as its primary knows it. */
export interface ReplicaStatus {
  readonly nodeId: string
  readonly hostname: string
  readonly connectedAtMs: number
  /** Transactions that it has not acknowledged, over all databases. */
  readonly behind: number
  /** By database: `txid/checksum`. */
  readonly positions: Readonly<Record<string, string>>
}

/** Its place among its peers. */
export interface ClusterStatus {
  readonly type: 'static' | 'consul'
  readonly id?: string
  /** Decimal. */
  readonly term: string
  readonly candidate: boolean
  readonly primary?: { readonly nodeId: string; readonly hostname: string; readonly url: string }
  /** Of a primary whose lease ends: how long it lasts if it is not renewed. */
  readonly leaseRemainingMs?: number
  /** Of a replica. */
  readonly lagMs?: number
  readonly connected?: boolean
  readonly lastError?: string
  /** Of a primary. */
  readonly replicas: readonly ReplicaStatus[]
}

/** The WAL of a database, and how it is kept short. */
export interface CheckpointStatus {
  /** Length of the file. */
  readonly walBytes: number
  /** Several connections have it open, so this node checkpoints it, and they do not. */
  readonly isGuarded: boolean
  /** Checkpoints that this node made since it started, how long they took together, and the last. */
  readonly count: number
  readonly totalMs: number
  readonly lastMs: number
  /** Times that committed pages were about to be lost between the WAL and the database file. */
  readonly alarms: number
  /** Frames of the WAL, and how many of them are not in the database file, as of the last checkpoint. */
  readonly frames?: number
  readonly left?: number
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
  /** Where this node writes. */
  readonly checkpoint?: CheckpointStatus
  /** On a replica. */
  readonly replication?: ReplicationStatus
}

export interface NodeStatus {
  readonly version: string
  /** Sixteen hex digits. */
  readonly nodeId: string
  readonly pid: number
  readonly startedAtMs: number
  readonly role: 'primary' | 'replica' | 'idle'
  /** Absent on a node of its own. */
  readonly cluster?: ClusterStatus
  /** `requests`: how many of each kind the kernel has sent since the start, by their names in the protocol. */
  readonly mount: { readonly dir: string; readonly requests: Readonly<Record<string, number>> }
  readonly data: { readonly dir: string }
  /** `url` carries no secrets. */
  readonly backup?: { readonly url: string }
  readonly databases: readonly DatabaseStatus[]
}
