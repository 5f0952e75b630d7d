import type { Logs } from '../log/logs.ts'
import type { Position } from '../ltx/format/types.ts'
import type { Files } from '../util/files.ts'
import type { Authority } from './authority.ts'
import type { CaptureEvents } from './events.ts'

export interface DatabaseOptions {
  readonly name: string
  /** Path of the backing file. */
  readonly path: string
  readonly files: Files
  readonly events: CaptureEvents
  readonly nowMs: () => number
  /** The first transaction opens or creates the database's log. */
  readonly logs: Logs
  readonly nodeId: bigint
  /** Default: a node without a cluster. */
  readonly authority?: Authority
  /** Where a former database of the name was dropped, if that is all that is left of its log. */
  readonly droppedAt?: Position
}
