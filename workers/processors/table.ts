import type { Payload } from '../payloads.ts'
import type { QueueName } from '../queues.ts'
import type { RestoreContext } from './context.ts'
import { restore, type RestoreJobResult } from './restore.ts'
import { compact, type CompactResult, retain, type RetainResult, snapshot, type SnapshotResult } from './upkeep.ts'

export interface Results {
  readonly compact: CompactResult
  readonly snapshot: SnapshotResult
  readonly retain: RetainResult
  readonly restore: RestoreJobResult
}

/** One processor a queue. Each may be repeated at any time, from the beginning, also while it is still under way. */
export const PROCESSORS: {
  readonly [Q in QueueName]: {
    readonly run: (payload: Payload<Q>, context: RestoreContext) => Promise<Results[Q]>
    /** It writes to the backup, so one at a time is at a database. */
    readonly exclusive: boolean
  }
} = {
  compact: { run: compact, exclusive: true },
  snapshot: { run: snapshot, exclusive: true },
  retain: { run: retain, exclusive: true },
  restore: { run: restore, exclusive: false },
}
