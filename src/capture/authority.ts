import type { Caller } from '../fuse/content.ts'
import { type FsError, UndecidedError } from '../fuse/errno.ts'
import { FOREVER_NS } from '../util/monotonic.ts'
import type { CaptureEvents } from './events.ts'
import { rejectOnReplica, rejectWithheld } from './rejection.ts'

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
  /** The authority over one database. Absent: the same for all. */
  of?(database: string): Authority
  /** Why this node does not lead the database although it leads; then `leads` is false. */
  readonly withheld?: string | undefined
  /** The databases that have such a reason. Some may not exist here. */
  readonly withheldNames?: Iterable<string>
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
export function assertWriter(database: Governed, caller: Caller, errno?: 'EACCES'): void {
  const { authority } = database
  if (authority.leads || authority.isClient(caller)) return
  const reject = () => notLeading(database, caller, errno)
  const isDecided = (authority.awaiting ?? 'nothing') === 'nothing'
  throw isDecided || authority.withheld !== undefined ? reject() : new UndecidedError(reject)
}

/** The error of a write to a database that this node does not lead. */
export function notLeading({ name, events, authority }: Governed, caller?: Caller, errno?: 'EACCES'): FsError {
  const { withheld, primary } = authority
  if (withheld !== undefined) return rejectWithheld(events, name, withheld, caller, errno)
  return rejectOnReplica(events, name, primary, caller, errno)
}

/**
 * Throws FsError where a rename would give a file the name of a database that this node withholds: it could become that
 * database, or already is another one.
 */
export function assertNotWithheld(events: CaptureEvents, authority: Authority, to: string, isDirectory: boolean): void {
  for (const name of authority.withheldNames ?? []) {
    if (name !== to && !(isDirectory && name.startsWith(`${to}/`))) continue
    const of = authority.of?.(name) ?? authority
    if (of.withheld !== undefined) throw rejectWithheld(events, name, of.withheld)
  }
}
