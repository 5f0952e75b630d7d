/** What a log asks of whoever can sync a file without holding up the thread that appends. */

import type { HeldReply } from '../fuse/content.ts'

/** An fsync that another thread does once it is told whom to answer. */
export interface PendingSync extends HeldReply {
  /** `prepared`: nobody was named to answer, and so it was not begun. */
  readonly state: 'prepared' | 'running' | 'done' | 'failed'
  /** Returns when it is not running any more. */
  wait(): void
}

export interface SyncStarter {
  /** Undefined: the caller does better to sync the file itself, at once. The descriptor stays open while the sync runs. */
  prepare(fd: number): PendingSync | undefined
}
