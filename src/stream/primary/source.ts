import type { KnownNodes } from '../../data/known-nodes.ts'
import type { LogView } from '../../log/view.ts'
import type { Position } from '../../ltx/format/types.ts'
import type { Files } from '../../util/files.ts'
import type { NodeAddress, NodeName } from '../../util/node-address.ts'
import type { Owner } from '../../util/owner.ts'

/** The databases that a primary streams. The node implements it. */
export interface StreamSource {
  readonly nodeId: string
  readonly hostname: string
  clusterId(): string
  /** Undefined while this node does not lead. */
  term(): bigint | undefined
  /** The node that leads instead, if known: for the answer to a replica that connects here. */
  primary?(): NodeAddress | undefined
  /** The nodes of the cluster, as replicas shall know them. */
  nodes(): readonly NodeName[]
  /** A replica gets its first byte after it was met. */
  readonly known: Pick<KnownNodes, 'meet' | 'part'>
  databases(): Iterable<StreamedDatabase>
  /** What this node has of a database that it does not lead, although it leads: nothing is streamed of it. */
  withheld?(database: string): StreamedDatabase | undefined
  /** Whether there is any that it does not lead. */
  withholds?(): boolean
  /** Where a database was dropped that is none of those any more. */
  droppedAt?(database: string): Position | undefined
  /** The database's commits come at most one in so many milliseconds, so that the replicas keep up. 0: as they come. */
  paceCommits?(database: string, intervalMs: number): void
  /** A counter that grows with every publication, and a wait on it. */
  changes(): number
  waitForChange(seen: number, timeoutMs: number): Promise<void>
  /** The directory for the files of snapshots. */
  readonly temporaryParent: string
}

export interface StreamedDatabase {
  readonly name: string
  readonly log: LogView
  /** The database file itself, not through the mount. */
  readonly filePath: string
  /** Opens it. */
  readonly files?: Files
  /** Page size and size in pages at its position, which the file of an encrypted database does not tell. */
  readonly shape?: () => { readonly pageSize: number; readonly commit: number }
  /** Absent: the owner of the database does not travel. */
  readonly owner?: StreamedOwner
}

/** Owner and mode of a database's file, as they are at each call. */
export interface StreamedOwner {
  /** Grows with each change that is no transaction. */
  changes(): number
  /** undefined where there is no file. */
  file(): Owner | undefined
  /** Of the directories from the root of the mount down to the database's; empty where not known. */
  folders(): Owner[]
}
