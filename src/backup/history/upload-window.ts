import { LIMITS } from '../../config/limits.ts'

/**
 * The time limit of a single request. A request that was sent before the lease's deadline and aborted there may take
 * effect in the store for as long. A new leader uploads nothing before its predecessor's deadline plus this time.
 */
export const UPLOAD_TIMEOUT_MS = LIMITS.uploadMs

/**
 * For this long after its upload, a file with new transactions may still turn out to be the lost tail of a deposed
 * leader. By then the next leader has moved such files away. Compaction and snapshots do not use younger files.
 */
export const UNSETTLED_MS = 2 * UPLOAD_TIMEOUT_MS
