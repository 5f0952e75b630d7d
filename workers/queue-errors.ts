/** Distinguishes BullMQ's errors about jobs and schedules from those about Redis. */

/** BullMQ's numeric codes: no lock, another worker's lock, no longer active, no longer there. */
const LOCK_CODES = new Set<unknown>([-1, -2, -3, -6])

/** The job belongs to another worker by now. */
export function isLockError(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return /^could not renew lock/.test(error.message) || LOCK_CODES.has((error as { code?: unknown }).code)
}

/** BullMQ cannot read a job that another program put into Redis by itself. */
export function isUnreadableJob(error: Error): boolean {
  return error instanceof SyntaxError || error instanceof TypeError
}

/** Whether the error concerns a job or a schedule, not Redis. */
export function isQueueError(error: Error): boolean {
  return typeof (error as { code?: unknown }).code === 'number' || /^Failed to add repeatable/.test(error.message)
}
