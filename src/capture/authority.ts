import type { Caller } from '../fuse/content.ts'
import { UndecidedError } from '../fuse/errno.ts'
import { FOREVER_NS } from '../util/monotonic.ts'
import type { CaptureEvents } from './events.ts'
import { rejectOnReplica } from './rejection.ts'

/**
 * What waits until the node's role is known: writes that are rejected on a replica; and also opens for writing, while
 * the local client opens the databases, which needs their locks.
 */
export type Awaiting = 'nothing' | 'writes' | 'opens'

/**
 * Who may change databases, according to the node's role. Consulted at each write and each commit, so it must be cheap
 * and must not wait.
 */
export interface Authority {
  /** True on the primary: applications write. False on a replica: only the local client does (I5). */
  readonly leads: boolean
  /** Whether the lease still holds, so that a commit may be acknowledged (I6). Consulted only while the node leads. */
  mayCommit(): boolean
  /** Until when the lease surely holds, in nanoseconds of process.hrtime. */
  readonly deadlineNs: bigint
  /** Whether what was committed under a lease until `deadlineNs`, or under the present one, may be acknowledged now. */
  mayAcknowledge(deadlineNs: bigint): boolean
  /** The hostname of the primary that this node follows, if it is known. */
  readonly primary?: string | undefined
  /** Whether `caller` is the local client, which applies the primary's transactions. */
  isClient(caller: Caller): boolean
  /** What waits for this node's role. Absent: nothing. */
  readonly awaiting?: Awaiting
  /** On a replica, applications open databases read-only. */
  readonly opensReadOnly?: boolean
  /**
   * Whether a transaction holds a lock on the file with this inode number, or on the byte at `offset` of it. Absent
   * where nobody can tell.
   */
  isLocked?(inode: number, offset?: number): boolean
}

/** The authority of a node without a cluster. Recovery works under it too. */
export const SOLE: Authority = {
  leads: true,
  mayCommit: () => true,
  deadlineNs: FOREVER_NS,
  mayAcknowledge: () => true,
  isClient: () => false,
}

interface Governed {
  readonly name: string
  readonly events: CaptureEvents
  readonly authority: Authority
}

/** Throws FsError for a write that only the primary's applications, or the local client on a replica, may make. */
export function assertWriter({ name, events, authority }: Governed, caller: Caller, errno?: 'EACCES'): void {
  if (authority.leads || authority.isClient(caller)) return
  const reject = () => rejectOnReplica(events, name, authority.primary, caller, errno)
  throw (authority.awaiting ?? 'nothing') === 'nothing' ? reject() : new UndecidedError(reject)
}
