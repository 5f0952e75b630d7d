/** Whether what BullMQ reports is about a job, or about Redis. */

/** BullMQ's codes, which are numbers: no lock, another's lock, no longer in hand, no longer there. */
const LOCK_CODES = new Set<unknown>([-1, -2, -3, -6])

/** The job is another worker's by now. */
export function isLockError(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return /^could not renew lock/.test(error.message) || LOCK_CODES.has((error as { code?: unknown }).code)
}

/** Of a job or a schedule, and not of Redis. */
export function isQueueError(error: Error): boolean {
  return typeof (error as { code?: unknown }).code === 'number' || /^Failed to add repeatable/.test(error.message)
}
