/**
 * The messages between the control plane and the data plane's thread. Positions go through shared memory instead
 * (shared-state.ts).
 */

import type { FilterOptions } from '../capture/database-filter.ts'
import type { LogFields, LogLevel, Sharing } from '../capture/events.ts'
import type { Modes } from '../util/private-files.ts'

export interface DataPlaneData {
  readonly shared: SharedArrayBuffer
  /** Shared memory of the databases that are not led (withheld.ts). */
  readonly withheld: SharedArrayBuffer
  /** Shared memory of the fsyncs that another thread runs (syncs.ts). */
  readonly syncs: SharedArrayBuffer
  /** Shared memory of the replies that wait for the replicas (delays.ts); absent where none ever does. */
  readonly delays?: SharedArrayBuffer
  /** Shared memory of the thread that keeps a core awake (keep-awake.ts); absent without that thread. */
  readonly keepAwake?: SharedArrayBuffer
  readonly dataDir: string
  /** Another path of it, by which it is held. */
  readonly at: string
  /** The backing directory, and where applications see it. */
  readonly root: string
  readonly mountDir: string
  /** Of the files that the thread makes beside those of applications. */
  readonly modes: Modes
  readonly segmentSizeBytes: number
  readonly filter: FilterOptions
  readonly replicaWrites?: 'auto' | 'readonly' | undefined
  readonly nodeId: bigint
}

export type ToDataPlane =
  /** Recover everything in the data directory. Answered by `recovered`. */
  | { readonly type: 'recover' }
  /** The file and log of a database were replaced: recover it again. Answered by `recovered`. */
  | { readonly type: 'recover-again'; readonly database: string }
  /** Before `serve`: a database is not served for this reason. Answered by `recovered`. */
  | { readonly type: 'reject'; readonly database: string; readonly reason: string }
  | Serve

/** Serve the mount until it is unmounted or a stop is requested. Answered by `stopped`. */
export interface Serve {
  readonly type: 'serve'
  readonly deviceFd: number
  /** That of the mount's inode numbers (fuse/protocol/inodes.ts). */
  readonly generation: number
  readonly isBridge: boolean
  /** `major:minor` of the mount. */
  readonly mounted: string | undefined
}

export type FromDataPlane =
  | { readonly type: 'recovered' }
  /** A database has a slot, or its rejection has changed. */
  | { readonly type: 'database'; readonly name: string; readonly slot: number; readonly rejection: string | undefined }
  /** The slot, which is not the database's any more, waits for `SharedState.giveBack`. */
  | { readonly type: 'released'; readonly name: string; readonly slot: number }
  /** A database was recovered without reading all its pages: `proof` covers the remaining ones (capture/proof.ts). */
  | { readonly type: 'unproven'; readonly database: string; readonly proof: SharedArrayBuffer }
  /** The number of connections that have the database open in WAL mode, or write to it, has changed. */
  | { readonly type: 'sharing'; readonly database: string; readonly sharing: Sharing }
  /** From now on pages of the database are only in its WAL. Sent once until its file holds everything again. */
  | { readonly type: 'behind'; readonly database: string }
  /** Committed pages were about to be lost between its WAL and its file (I11). */
  | { readonly type: 'guarded'; readonly database: string }
  /** Its WAL was written, and for a second nothing was captured. */
  | { readonly type: 'unexplained'; readonly database: string }
  /** An application has changed the owner or the mode of a database's file. */
  | { readonly type: 'owner'; readonly database: string }
  /** A database was found that no log can hold (capture/unreplicated.ts), or is none any more. */
  | { readonly type: 'unreplicated'; readonly database: string; readonly isUnreplicated: boolean }
  /** The log of a database rejects everything, for this reason; without one, it no longer does. */
  | { readonly type: 'log-failed'; readonly database: string; readonly reason: string | undefined }
  /** A file was written that is no database. */
  | { readonly type: 'plain-file'; readonly file: string }
  /** Something is to be done after this time: `SharedState.requestTurn`. Sent again if the turn came too early. */
  | { readonly type: 'later'; readonly inMs: number }
  | { readonly type: 'log'; readonly level: LogLevel; readonly message: string; readonly fields: LogFields }
  /**
   * The kernel's cache of a file is stale. The serving thread cannot invalidate it: the notification would wait for
   * itself.
   */
  | { readonly type: 'invalidate'; readonly node: number }
  /** Requests get errors from now on. What those still see who have files open is in the kernel's cache. */
  | { readonly type: 'cut-off'; readonly files: readonly number[]; readonly walIndexes: readonly number[] }
  /** A name that the kernel may have cached is gone. For the same reason, another thread tells the kernel. */
  | { readonly type: 'forget'; readonly parent: number; readonly name: string }
  | { readonly type: 'stopped' }
