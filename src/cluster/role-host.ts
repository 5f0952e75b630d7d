import type { NodeName } from '../util/node-address.ts'
import type { Positions } from './candidacy.ts'
import type { Leader, NodeAddress } from './lease/lease.ts'
import type { Left } from './role/role-events.ts'
import type { Previous } from './role/role-state.ts'

/**
 * Executes the role. Methods are called one after the other, except `extend` and the getters: the lease is renewed, and
 * its deadline moves, also while `lead` or `drain` runs.
 */
export interface RoleHost {
  /** The highest term known from other sources (backup, own data directory). */
  knownTerm(): bigint
  /** The highest term in which this node could commit; 0 when it never could. */
  ledTerm(): bigint
  /** The term of the last leader whose complete history this node has had; 0 when there was none. */
  historyTerm(): bigint
  /** The other nodes of the cluster. */
  knownNodes(): readonly NodeName[]
  /** Why this node must not lead now (e.g. it waits for a snapshot); undefined when it may. */
  unfit(): string | undefined
  /** An election: follow nobody, apply what was received, for a bounded time, and say how far this node is then. */
  stand(): Promise<Positions>
  /** Follow this primary instead of the previous one. When it rejects, it is called again a little later. */
  follow(primary: NodeAddress, term: bigint): Promise<void>
  /** No primary is known, or the lease service has not answered yet: serve reads, reject writes. */
  idle(reason: string): Promise<void>
  /**
   * This node holds the lease of `term`: apply what only the backup has, then lead. Commits are possible from its
   * resolution to the deadline. When it rejects, the lease is released and retried later. Aborted when the lease is
   * lost, or the node stops.
   */
  lead(term: bigint, signal: AbortSignal, previous: Previous): Promise<void>
  /** The data plane acknowledges commits until this deadline (process.hrtime.bigint() ns). 0 ends that at once. */
  extend(deadlineNs: bigint): void
  /**
   * The lease is lost or about to be released: acknowledge no commit from now on. Also called after `lead` rejected.
   */
  stepDown(reason: string): Promise<void>
  /**
   * Called before a clean release: waits, for a bounded time, until a replica (`to`, if given) has everything, and
   * returns it as the successor. With `to` and another result, nothing has changed: this node continues as primary.
   */
  drain(signal: AbortSignal, to?: string): Promise<Drained>
  /** This node stops and does not lead: tells the leader, for a bounded time. */
  leave(signal: AbortSignal): Promise<Left>
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
  /** Time until the lease expires unless renewed; only on a primary whose lease expires. */
  readonly deadlineMs?: number
  readonly lastError?: string
}
