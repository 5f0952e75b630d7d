import type { LogView } from '../../log/view.ts'
import type { Files } from '../../util/files.ts'
import type { NodeAddress } from '../../util/node-address.ts'

/** The databases that a primary streams. The node implements it. */
export interface StreamSource {
  readonly nodeId: string
  readonly hostname: string
  clusterId(): string
  /** Undefined while this node does not lead. */
  term(): bigint | undefined
  /** The node that leads instead, if known: for the answer to a replica that connects here. */
  primary?(): NodeAddress | undefined
  databases(): Iterable<StreamedDatabase>
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
}
