import type { Leader, NodeAddress } from './lease/lease.ts'
import type { Previous } from './role/role-state.ts'

/**
 * What carries the role out. Methods are called one after the other, never at once, except `extend` and the two that only
 * tell something: the lease is renewed, and its deadline moves, also while `lead` or `drain` is under way.
 */
export interface RoleHost {
  /** The highest term known here by other ways (backup, own data directory). */
  knownTerm(): bigint
  /** The highest term in which this node could take commits; 0 when it never could. */
  ledTerm(): bigint
  /** The term of the last leader whose history this node has had all of; 0 when there was none. */
  historyTerm(): bigint
  /** Why this node must not lead now (e.g. it waits for a snapshot); undefined when it may. */
  unfit(): string | undefined
  /** Follow this primary; whatever was followed before is left. Rejects: it is called again a little later. */
  follow(primary: NodeAddress, term: bigint): Promise<void>
  /** No primary is known (or the lease service has not answered yet): serve reads, refuse writes. */
  idle(reason: string): Promise<void>
  /**
   * This node holds the lease of `term`: catch up with the backup, take over. Commits are possible when it resolves, until
   * the deadline. Rejects: the lease is given up and tried again later. Aborted: the lease is gone, or the node stops.
   */
  lead(term: bigint, signal: AbortSignal, previous: Previous): Promise<void>
  /** The data plane acknowledges commits until then (process.hrtime.bigint() ns). 0: not any more, and at once. */
  extend(deadlineNs: bigint): void
  /** The lease is lost or being given up: no commit is acknowledged from now on. Also called where `lead` did not resolve. */
  stepDown(reason: string): Promise<void>
  /**
   * Called before a clean release: waits, boundedly, until a replica (`to`, if named) has everything. Names that replica as the
   * successor. With `to`, anything else than `to` means that nothing has changed: this node goes on as primary.
   */
  drain(signal: AbortSignal, to?: string): Promise<Drained>
}

export interface Drained {
  /** A node id. */
  readonly successor?: string | undefined
  readonly kept: Leader['kept']
}

export interface MembershipStatus {
  readonly type: 'static' | 'consul'
  readonly role: 'primary' | 'replica' | 'idle'
  readonly term: bigint
  readonly candidate: boolean
  readonly primary?: NodeAddress
  readonly clusterId?: string
  /** How long the lease lasts if it is not renewed; only of a primary whose lease ends. */
  readonly deadlineMs?: number
  readonly lastError?: string
}
