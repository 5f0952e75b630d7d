import type { ReplicationStatus } from '../replica/status.ts'

/** The status of a running node: the body of `GET /status`, printed by `ltxd status`. */

export interface BackupStatus {
  /** Last transaction in the backup: sixteen hex digits. */
  readonly txid: string
  /** Age of the oldest transaction that is not in the backup; 0 when the backup has all of them. */
  readonly lagMs: number
  /** The error of the last attempt; absent when that succeeded. */
  readonly lastError?: string
  /** Damage that was found and is not healed yet, or why compaction, snapshots, retention or listings fail. */
  readonly problem?: string
  /** The last time that a listing was found to have all that a restore of the newest state needs; absent before. */
  readonly restorable?: RestorableStatus
  /** The time since then, or since this node ships the database. */
  readonly unverifiedMs?: number
}

export interface RestorableStatus {
  /** The oldest state that could be restored then; absent where there was none. In a bucket: when it was uploaded. */
  readonly sinceMs?: number
  readonly verifiedAtMs: number
}

/** A connected replica, on the primary. */
export interface ReplicaStatus {
  readonly nodeId: string
  readonly hostname: string
  readonly connectedAtMs: number
  /** Transactions that the replica has not acknowledged, over all databases. */
  readonly behind: number
  /** `txid/checksum` by database. */
  readonly positions: Readonly<Record<string, string>>
}

/** The node's role among its peers. */
export interface ClusterStatus {
  readonly type: 'static' | 'consul'
  readonly id?: string
  /** Decimal. */
  readonly term: string
  readonly candidate: boolean
  readonly primary?: { readonly nodeId: string; readonly hostname: string; readonly url: string }
  /** On a primary whose lease expires: the time until then. */
  readonly leaseRemainingMs?: number
  /** On a replica: at least so far it is behind; grows while the primary is not heard. Absent while unknown. */
  readonly lagMs?: number
  /** On a replica. */
  readonly connected?: boolean
  /** While not connected: when the primary was last heard, or when this node began to follow; and the reason. */
  readonly disconnectedAtMs?: number
  readonly disconnectedReason?: string
  readonly lastError?: string
  /** On a primary. */
  readonly replicas: readonly ReplicaStatus[]
}

/** The WAL of a database, and its checkpoints. */
export interface CheckpointStatus {
  /** Length of the WAL file. */
  readonly walBytes: number
  /** Several connections have the database open, so this node checkpoints it instead of them. */
  readonly isGuarded: boolean
  /** Checkpoints by this node since it started, their total duration, and the duration of the last. */
  readonly count: number
  readonly totalMs: number
  readonly lastMs: number
  /** Times that committed pages were about to be lost between the WAL and the database file. */
  readonly alarms: number
  /** Frames of the WAL, and how many of them were not in the database file, after the last checkpoint. */
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
  /** Its pages can be read with a key only: ltxd compares checksums, and nothing else of them. Absent where false. */
  readonly encrypted?: boolean
  /** First transaction in the LTX log: sixteen hex digits; absent while the log is empty. */
  readonly logFirstTXID?: string
  readonly logBytes: number
  /** Transactions captured since the node started. */
  readonly commitCount: number
  /** On a primary: commits come at most one in so many milliseconds, because of `stream.max-lag`. */
  readonly commitIntervalMs?: number
  /** Why the database is not served; absent when it is. */
  readonly error?: string
  /** Why its transactions cannot be logged or applied at the moment: a full disk, or one that fails. It is retried. */
  readonly failure?: string
  readonly backup?: BackupStatus
  /** On a primary. */
  readonly checkpoint?: CheckpointStatus
  /** On a replica. */
  readonly replication?: ReplicationStatus
}

/** The databases that are written on the mount and are in no log, as far as they are known since the start. */
export interface UnreplicatedStatus {
  readonly count: number
  /** The first hundred, sorted. */
  readonly names: readonly string[]
}

export interface NodeStatus {
  readonly version: string
  /** Sixteen hex digits. */
  readonly nodeId: string
  readonly pid: number
  readonly startedAtMs: number
  readonly role: 'primary' | 'replica' | 'idle'
  /** Absent on a node without peers. */
  readonly cluster?: ClusterStatus
  /** `requests`: FUSE requests since the start, counted by the name of the operation. */
  readonly mount: { readonly dir: string; readonly requests: Readonly<Record<string, number>> }
  readonly data: { readonly dir: string }
  /** `url` has no secrets in it. */
  readonly backup?: { readonly url: string }
  readonly databases: readonly DatabaseStatus[]
  /** Databases that are served as plain files: encrypted ones outside of WAL mode; absent if there are none. */
  readonly unreplicated?: UnreplicatedStatus
}
