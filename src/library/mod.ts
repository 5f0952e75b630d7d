/**
 * `ltxd` as a library, for Node.js on Linux: run a node beside a program, restore from a backup. All that a node can do
 * more is the command's; the LTX format is `ltxd/ltx`, asking workers for work is `ltxd/workers`.
 */

export type {
  BackupStatus,
  CheckpointStatus,
  ClusterStatus,
  DatabaseStatus,
  NodeStatus,
  ReplicaStatus,
  RestorableStatus,
  UnreplicatedStatus,
} from '../api/status.ts'
export { LtxdError } from '../util/errors.ts'
export type { LogLevel } from '../util/log.ts'
export { VERSION } from '../util/version.ts'
export { type Node, type NodeOptions, startNode } from './node.ts'
export { restore, type Restored, type RestoreOptions } from './restore.ts'
