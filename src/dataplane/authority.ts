import type { Authority } from '../capture/authority.ts'
import { FOREVER_NS } from '../util/monotonic.ts'
import type { SharedState } from './shared-state.ts'

export interface ServingThread {
  isServing(): boolean
  /** The current request commits. */
  commits(): void
  /** On a replica, applications open databases read-only. */
  readonly opensReadOnly: boolean
  /** Whether a transaction holds a lock on the file with this backing inode number, or on its byte at `offset`. */
  isLocked(inode: number, offset?: number): boolean
}

/**
 * What the node's role, in shared memory, allows. Before it serves, the thread recovers: that restores this node's own
 * history, whoever leads. The node compares it with the primary's afterwards.
 */
export function authorityOf(state: SharedState, thread: ServingThread): Authority {
  return {
    get leads() {
      return !thread.isServing() || state.leads
    },
    mayCommit() {
      if (!thread.isServing()) return true
      thread.commits()
      state.beginCommit()
      return mayAcknowledge(state)
    },
    get deadlineNs() {
      return thread.isServing() ? state.deadlineNs : FOREVER_NS
    },
    mayAcknowledge: (deadlineNs) => !thread.isServing() || mayAcknowledge(state, deadlineNs),
    get primary() {
      return state.primaryHostname
    },
    get awaiting() {
      return state.awaiting
    },
    opensReadOnly: thread.opensReadOnly,
    isLocked: (inode, offset) => thread.isLocked(inode, offset),
    isClient: ({ tid }) => tid !== 0 && tid === state.clientPid,
  }
}

/** I6: whether a lease holds, the one that held until `deadlineNs` or the present one. */
export function mayAcknowledge(state: SharedState, deadlineNs = 0n): boolean {
  const now = process.hrtime.bigint()
  return now < deadlineNs || (state.leads && now < state.deadlineNs)
}
