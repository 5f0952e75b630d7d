import { LIMITS } from '../../config/limits.ts'

/**
 * How long a request that was sent before the deadline, and given up there, may still take effect in the store; also what
 * a single request may take. A new leader uploads nothing before its predecessor's deadline plus this.
 */
export const UPLOAD_TIMEOUT_MS = LIMITS.uploadMs

/**
 * So long after it was put, a file that carries new transactions under a lease may still turn out to be the lost tail of a
 * leader that was deposed: the next one has seen to it by then. Nothing is made of such files (compaction, snapshots).
 */
export const UNSETTLED_MS = 2 * UPLOAD_TIMEOUT_MS
