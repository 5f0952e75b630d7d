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
  readonly reconnectMs: number
  readonly roleWait: RoleWait
  readonly logger: Logger
}
