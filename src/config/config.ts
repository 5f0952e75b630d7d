/** The effective configuration: defaults, then `ltxd.yml`, then flags; paths absolute, units resolved. */

import type { LogFormat, LogLevel } from '../util/log.ts'

export interface Config {
  /** The file it came from; absent when none was found. */
  readonly file?: string
  readonly fuse: FuseConfig
  readonly data: DataConfig
  /** Absent: no backup. */
  readonly backup?: BackupConfig
  /** Absent: a node alone, and the primary. */
  readonly cluster?: ClusterConfig
  /** Where the workers' queues are. A node itself needs none. */
  readonly redis?: { readonly url: string }
  /** Run one after the other; the last is the application. Empty: nothing to supervise. */
  readonly exec: readonly Command[]
  /** Exit when the start or the application fails; otherwise stay, unmounted, for someone to look. */
  readonly exitOnError: boolean
  /** How long a program may take after a request to stop before the next, harsher one. */
  readonly stopTimeoutMs: number
  readonly http: HttpConfig
  readonly log: { readonly level: LogLevel; readonly format: LogFormat }
}

export interface FuseConfig {
  /** Absent only where no mount was asked for (`ltxd config`, `ltxd status`). */
  readonly dir?: string
  readonly allowOther: boolean
  /** Who speaks with the kernel: this process, or libfuse in one of its own. */
  readonly driver: 'direct' | 'fuse-native'
  /** `low`: a core is kept from halting while requests come, at the cost of its idle time. */
  readonly latency: 'normal' | 'low'
  /** Patterns of paths on the mount (util/glob.ts): which files are databases. */
  readonly databases: readonly string[]
  /** All others are served as plain files, or refused. */
  readonly otherFiles: 'serve' | 'refuse'
}

export interface DataConfig {
  readonly dir: string
  /**
   * A transaction leaves the LTX log when it is older than `ageMs`, or when a database's log is larger than
   * `sizeBytes`.
   */
  readonly retention: { readonly ageMs: number; readonly sizeBytes: number }
  readonly segmentSizeBytes: number
  /** Who checkpoints a database in WAL mode that several connections have open. */
  readonly checkpoint: 'ltxd' | 'application'
}

export interface BackupConfig {
  /** `file:///DIR` or `s3://BUCKET/PREFIX?…`. */
  readonly url: string
  readonly syncIntervalMs: number
  /** Intervals of level 1, 2 … */
  readonly levelIntervalsMs: readonly number[]
  readonly snapshot: { readonly intervalMs: number; readonly retentionMs: number }
  /** How long a level-0 file stays once level 1 covers it. */
  readonly level0RetentionMs: number
  /** Who compacts, makes snapshots out of the backup and applies retention. */
  readonly compaction: 'daemon' | 'workers'
}

export interface ClusterConfig {
  /** static: who is primary is fixed here, `candidate` says whether it is this node. consul: whoever holds the key. */
  readonly type: 'static' | 'consul'
  readonly candidate: boolean
  /** Ask the primary for the lease as soon as this node has caught up. */
  readonly promote: boolean
  /** This node's name for people; of a static replica the primary's. */
  readonly hostname: string
  /** Where peers reach this node's API; of a static replica where the primary's is. Absent: where it listens. */
  readonly advertiseUrl?: string
  /** How long a primary that falls silent keeps the lease. Without meaning for a static one. */
  readonly ttlMs: number
  /** How long a replica waits before it connects again. */
  readonly reconnectDelayMs: number
  /** How long after a handoff, or after it failed to take over, a node leaves the lease to others. */
  readonly demoteDelayMs: number
  /** Exactly with type consul. The URL may hold a token. */
  readonly consul?: { readonly url: string; readonly key: string }
}

export interface Command {
  readonly argv: readonly string[]
}

export interface HttpConfig {
  /** A loopback address or name, without brackets. */
  readonly host: string
  /** 0: any free one. */
  readonly port: number
}
