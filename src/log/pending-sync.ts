/** How a log has a file fsynced by another thread while its own thread continues to append. */

import type { HeldReply } from '../fuse/content.ts'

/** An fsync that another thread starts once it has a request to answer. */
export interface PendingSync extends HeldReply {
  /** `prepared`: not started, because no request was given to answer. */
  readonly state: 'prepared' | 'running' | 'done' | 'failed'
  /** Blocks until the fsync is no longer running. */
  wait(): void
}

export interface SyncStarter {
  /**
   * undefined if the caller should fsync the file itself. The descriptor must stay open while the fsync runs.
   * `deadlineNs`: of the lease under which it was written, after which the request fails; 0 without one.
   */
  prepare(fd: number, deadlineNs: bigint): PendingSync | undefined
}
