import type { Logger } from '../util/log.ts'
import type { Lease, NodeAddress } from './lease/lease.ts'
import type { Rules } from './role/role-state.ts'
import type { RoleHost } from './role-host.ts'

export interface MembershipOptions {
  readonly lease: Lease
  readonly host: RoleHost
  readonly self: NodeAddress
  readonly candidate: boolean
  /** How long this node does not acquire the lease after a handoff or a failed take-over. */
  readonly demoteMs: number
  /** How long after a holder's deadline its uploads may still reach the backup. */
  readonly uploadWindowMs: number
  /** How long this node leaves the lease to a candidate that has more. Default: the TTL. */
  readonly yieldMs?: number | undefined
  /** When a node of no cluster founds one, where the lease has no record. */
  readonly found: Rules['found']
  /** `lead` applies from the backup the transactions that this node lacks. */
  readonly hasBackup: boolean
  /** From the data directory. */
  readonly readClusterId: () => string | undefined
  readonly writeClusterId: (id: string) => void
  readonly logger: Logger
}
