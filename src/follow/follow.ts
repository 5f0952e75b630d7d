import { setTimeout as sleep } from 'node:timers/promises'
import { FollowedAlreadyError } from '../apply/positions.ts'
import { errorMessage } from '../util/errors.ts'
import { UnknownFileError } from './errors.ts'
import { Follower, type FollowerOptions } from './follower.ts'

export interface FollowOptions extends FollowerOptions {
  readonly intervalMs: number
  /** Follows until one pass succeeds, and throws the first error. */
  readonly once: boolean
}

/**
 * Follows until the signal is aborted. Throws the errors of the first pass. Reports later errors, and retries at the
 * next interval.
 */
export async function follow(options: FollowOptions): Promise<void> {
  const { signal, intervalMs, once, report } = options
  const follower = new Follower(options)
  let isFirst = true
  let failure = ''
  try {
    while (!signal.aborted) {
      try {
        const isCurrent = await follower.pass()
        failure = ''
        if (once && isCurrent) break
      } catch (error) {
        if (signal.aborted && !isFirst) break
        if (once || isFirst || error instanceof FollowedAlreadyError || error instanceof UnknownFileError) throw error
        const reason = errorMessage(error)
        if (reason !== failure) report({ event: 'retrying', position: follower.position, reason })
        failure = reason
        follower.reset()
      }
      isFirst = false
      await sleep(intervalMs, undefined, { signal }).catch(() => undefined)
    }
    report({ event: 'stopped', position: follower.position })
  } finally {
    follower.close()
  }
}
