/** The status a node composes lives with the API that shows it; the node's own files import it from here. */
export type {
  BackupStatus,
  CheckpointStatus,
  ClusterStatus,
  DatabaseStatus,
  NodeStatus,
  ReplicationStatus,
} from '../api/status.ts'
