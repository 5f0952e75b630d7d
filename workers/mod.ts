/** The public API of the queues, `ltxd/workers`: for programs that enqueue work, such as a restore. */

export { enqueue } from './enqueue.ts'
export { type Payload, PayloadError } from './payloads.ts'
export type { RestoreJobResult } from './processors/restore.ts'
export type { CompactResult, RetainResult, SnapshotResult } from './processors/upkeep.ts'
export { KEY_PREFIX, QUEUE_NAMES, type QueueName } from './queues.ts'
