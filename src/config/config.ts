/** The effective configuration: defaults, then `ltxd.yml`, then flags; paths absolute, units resolved. */

import type { LogFormat, LogLevel } from '../util/log.ts'
import type { Owner } from '../util/owner.ts'

export interface Config {
  /** The configuration file; absent when none was found. */
  readonly file?: string
  readonly fuse: FuseConfig
  readonly data: DataConfig
  /** Absent: no backup. */
  readonly backup?: BackupConfig
  /** Absent: a single node, which is the primary. */
  readonly cluster?: ClusterConfig
  readonly stream: StreamConfig
  /** The Redis server of the workers' queues. A node itself needs none. */
  readonly redis?: { readonly url: string }
  /** Commands to run one after the other; the last is the application. Empty: nothing to supervise. */
  readonly exec: readonly Command[]
  /** Whether to exit when the start or the application fails. Otherwise ltxd stays, unmounted, for inspection. */
  readonly exitOnError: boolean
  /** How long a stop may take. The application has a third of it after each signal, the last uploads have the rest. */
  readonly stopTimeoutMs: number
  readonly http: HttpConfig
  /** What `/ready` answers while a database is not replicated (encrypted), or its backup has a problem. */
  readonly ready: { readonly unreplicated: 'ok' | 'fail'; readonly backup: 'ok' | 'fail' }
  readonly log: { readonly level: LogLevel; readonly format: LogFormat }
}

export interface FuseConfig {
  /** Absent only where no mount was asked for (`ltxd config`, `ltxd status`). */
  readonly dir?: string
  readonly allowOther: boolean
  /** direct: this process serves the kernel's requests. fuse-native: libfuse does, in a process of its own. */
  readonly driver: 'direct' | 'fuse-native'
  /** low: a thread prevents a core from halting while requests come, at the cost of its idle time. */
  readonly latency: 'normal' | 'low'
  /** Owner and mode of databases from a primary or a backup. What is absent comes with the database. */
  readonly owner: Partial<Owner>
  /** Patterns of paths on the mount (util/glob.ts). A file that matches one is a database. */
  readonly databases: readonly string[]
  /** Whether other files are served as plain files, or rejected. */
  readonly otherFiles: 'serve' | 'refuse'
  /** What happens to programs that still have files of a mount open whose node died. */
  readonly staleClients: 'warn' | 'stop'
  /** auto: a write on a replica fails. readonly: databases can only be opened for reading there. */
  readonly replicaWrites: 'auto' | 'readonly'
}

export interface DataConfig {
  readonly dir: string
  /** Of the directory and those in it; files have it without the right to execute. */
  readonly mode: number
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
  /** Of a backup in a directory, as `data.mode`. */
  readonly mode: number
  readonly syncIntervalMs: number
  /** The compaction intervals of level 1, 2 … */
  readonly levelIntervalsMs: readonly number[]
  readonly snapshot: { readonly intervalMs: number; readonly retentionMs: number }
  /** How long a level-0 file is retained once level 1 covers it. */
  readonly level0RetentionMs: number
  /** How often, at least, the node that ships measures whether the newest state can be restored. */
  readonly verify: { readonly intervalMs: number }
  /** Who compacts, makes snapshots from the backup, and applies retention. */
  readonly compaction: 'daemon' | 'workers'
}

export interface ClusterConfig {
  /** static: this file fixes the primary; `candidate` says whether it is this node. consul: the holder of the lease. */
  readonly type: 'static' | 'consul'
  readonly candidate: boolean
  /** Ask the primary for the lease as soon as this node has caught up. */
  readonly promote: boolean
  /** This node's name for people. On a static replica, the primary's name. */
  readonly hostname: string
  /** The URL at which peers reach this node's API. On a static replica, the primary's. Absent: the listen address. */
  readonly advertiseUrl?: string
  /** How long a silent primary still holds the lease. No meaning for a static lease. */
  readonly ttlMs: number
  /** How long a replica waits before it reconnects. */
  readonly reconnectDelayMs: number
  /** When a node of no cluster founds one, where the lease has no record: after a silence, at once, or never. */
  readonly found: 'wait' | 'now' | 'never'
  /** How long a node leaves the lease to one that has more. */
  readonly yieldMs: number
  /** How long a node does not acquire the lease after a handoff or a failed take-over. */
  readonly demoteDelayMs: number
  /** Present if and only if the type is consul. The URL may contain a token. */
  readonly consul?: { readonly url: string; readonly key: string }
}

/** Transactions on their way between nodes. */
export interface StreamConfig {
  /** Commits are slowed down so that connected replicas lag by no more than that. Absent: never. */
  readonly maxLagMs: number | undefined
  /** What waits in files to be applied on a replica has so many bytes at most. Absent: as the disk has room. */
  readonly spoolBytes: number | undefined
}

export interface Command {
  readonly argv: readonly string[]
}

export interface HttpConfig {
  /** A loopback address or name, without brackets. */
  readonly host: string
  /** 0: any free port. */
  readonly port: number
}
