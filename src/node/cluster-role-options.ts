import type { DataDirectory } from '../data/directory.ts'
import type { Owners } from '../data/owners.ts'
import type { DataPlane } from '../dataplane/dataplane.ts'
import type { Logger } from '../util/log.ts'
import type { NodeAddress } from '../util/node-address.ts'
import type { Checkpoints } from './checkpoints.ts'
import type { NodeBackup } from './node-backup.ts'
import type { RoleWait } from './role-wait.ts'

export interface ClusterRoleOptions {
  readonly data: DataDirectory
  readonly plane: DataPlane
  readonly backup: NodeBackup | undefined
  /** Absent: applications checkpoint. */
  readonly checkpoints: Checkpoints | undefined
  readonly mountDir: string
  readonly self: NodeAddress
  readonly owners: Owners
  /** Other nodes may lead: shipped files carry the term. */
  readonly isLeased: boolean
  /** This node may lead, where the lease can pass to it. */
  readonly candidate: boolean
  readonly reconnectMs: number
  readonly roleWait: RoleWait
  /** What waits in files to be applied on a replica has so many bytes at most; undefined: as the disk has room. */
  readonly spoolBytes: number | undefined
  /** Commits are slowed down so that connected replicas lag by no more than that; undefined: never. */
  readonly maxLagMs: number | undefined
  readonly logger: Logger
}
