import { setTimeout as sleep } from 'node:timers/promises'

/** A condition that did not come true in time. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError'
}

/** Of the time that a wait has taken, how much longer it may take because the condition is polled. */
const LATENESS = 0.05
const LONGEST_PAUSE_MS = 200

/**
 * Polls `condition` until it returns a value other than undefined or false. Throws a DeadlineError that names `what`
 * after `deadlineMs`. Polls are at least `everyMs` apart, and become rarer the longer the wait takes, to leave the
 * processor to the processes that the test waits for.
 */
export async function until<T>(
  what: string,
  deadlineMs: number,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  everyMs = 10,
): Promise<T> {
  const start = performance.now()
  for (;;) {
    const value = await condition()
    if (value !== undefined && value !== false) return value
    const waitedMs = performance.now() - start
    if (waitedMs > deadlineMs) throw new DeadlineError(`${what}: not within ${deadlineMs} ms`)
    await sleep(Math.max(everyMs, Math.min(waitedMs * LATENESS, LONGEST_PAUSE_MS)))
  }
}

/** The result of `promise`. Throws a DeadlineError that names `what` if it is still pending after `deadlineMs`. */
export async function within<T>(what: string, deadlineMs: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new DeadlineError(`${what}: not within ${deadlineMs} ms`)), deadlineMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
