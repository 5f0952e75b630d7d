import type { Logger } from '../../util/log.ts'
import type { GroupSync } from './group-sync.ts'
import type { Snapshots } from './snapshots.ts'
import type { StreamedDatabase, StreamSource } from './source.ts'

/** The server's side of a connection. */
export interface ReplicaStreamHost {
  readonly source: StreamSource
  readonly syncs: GroupSync
  readonly snapshots: Snapshots
  /** A replica that takes nothing for so long, while there is something to send, is cut off. */
  readonly stalledMs: number
  readonly maxNames: number
  readonly logger: Logger
  /** The term in which this node led when the connection came. */
  readonly term: bigint
  readonly databases: () => ReadonlyMap<string, StreamedDatabase>
  /** Before the replica gets its first byte. Throws when it cannot be noted. */
  welcomed(): void
  left(): void
  /** A replica acknowledged something, or a feed progressed. */
  moved(): void
}
