import { setTimeout as sleep } from 'node:timers/promises'

/** A condition that did not come true in time. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError'
}

/**
 * Polls `condition` until it gives something other than undefined or false; throws DeadlineError, naming `what`, after
 * `deadlineMs`.
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
    if (performance.now() - start > deadlineMs) throw new DeadlineError(`${what}: not within ${deadlineMs} ms`)
    await sleep(everyMs)
  }
}

/** `promise`, or a DeadlineError that names `what` if it has not settled after `deadlineMs`. */
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
