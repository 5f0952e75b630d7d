/** What the control plane and the data plane's thread say to each other. Positions do not travel here: shared-state.ts. */

import type { FilterOptions } from '../capture/database-filter.ts'
import type { LogFields, LogLevel, Sharing } from '../capture/events.ts'

export interface DataPlaneData {
  readonly shared: SharedArrayBuffer
  /** Of fsyncs that it leaves to another thread (syncs.ts). */
  readonly syncs: SharedArrayBuffer
  /** For a thread that wants to know when requests come (keep-awake.ts); absent: there is none. */
  readonly keepAwake?: SharedArrayBuffer
  readonly dataDir: string
  /** The backing directory. */
  readonly root: string
  readonly segmentSizeBytes: number
  readonly filter: FilterOptions
  readonly nodeId: bigint
}

export type ToDataPlane =
  /** Recover everything in the data directory. Answered by `recovered`. */
  | { readonly type: 'recover' }
  /** Its file and log were replaced: forget it and recover it again. Answered by `recovered`. */
  | { readonly type: 'recover-again'; readonly database: string }
  /** Serve the mount until it goes or a stop is requested. Answered by `stopped`. */
  | { readonly type: 'serve'; readonly deviceFd: number }

export type FromDataPlane =
  | { readonly type: 'recovered' }
  /** A slot was given to a database; or its rejection changed. */
  | { readonly type: 'database'; readonly name: string; readonly slot: number; readonly rejection: string | undefined }
  /** A database was recovered without reading all of it: what is left to be proven (capture/proof.ts). */
  | { readonly type: 'unproven'; readonly database: string; readonly proof: SharedArrayBuffer }
  /** How many connections have the database open in WAL mode, or write to it, has changed. */
  | { readonly type: 'sharing'; readonly database: string; readonly sharing: Sharing }
  /** Committed pages were about to be lost between its WAL and its file (I11). */
  | { readonly type: 'guarded'; readonly database: string }
  | { readonly type: 'log'; readonly level: LogLevel; readonly message: string; readonly fields: LogFields }
  /** What the kernel has cached of a file is stale. The serving thread must not tell it: it would wait for itself. */
  | { readonly type: 'invalidate'; readonly node: number }
  | { readonly type: 'stopped' }
