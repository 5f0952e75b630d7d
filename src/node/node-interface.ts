import type { NodeStatus } from '../api/status.ts'
import type { HandedOver } from '../fuse/mount/handed-over.ts'

/** A running node. */
export interface Node {
  readonly mountDir: string
  readonly nodeId: string
  /** Resolves when the node has ended; rejects when it failed. */
  readonly closed: Promise<void>
  status(): NodeStatus
  /**
   * Unmounts, makes everything durable, ships the remaining transactions within that time (`stop-timeout`), and ends.
   * Rejects with NOT_SHIPPED, once it has ended, when it has transactions that neither the backup nor another node is
   * known to have.
   */
  stop(withinMs?: number): Promise<void>
}

export interface StartOptions {
  readonly signal?: AbortSignal
  /** Root made the mount at fuse.dir and removes it. */
  readonly handedOver?: HandedOver | undefined
}
