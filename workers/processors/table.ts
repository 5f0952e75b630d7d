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

/** One processor for each queue. Each may be repeated from the beginning at any time, even while it still runs. */
export const PROCESSORS: {
  readonly [Q in QueueName]: {
    readonly run: (payload: Payload<Q>, context: RestoreContext) => Promise<Results[Q]>
    /** Whether it writes to the backup: then one runs at a time for each database. */
    readonly exclusive: boolean
  }
} = {
  compact: { run: compact, exclusive: true },
  snapshot: { run: snapshot, exclusive: true },
  retain: { run: retain, exclusive: true },
  restore: { run: restore, exclusive: false },
}
