/** The queues, and how long their jobs are retained and how often they are retried. */

import type { DefaultJobOptions } from 'bullmq'

export const QUEUE_NAMES = ['compact', 'snapshot', 'retain', 'restore'] as const
export type QueueName = (typeof QUEUE_NAMES)[number]

/** The prefix of all keys in Redis. The braces put them into one slot of a Redis cluster. */
export const KEY_PREFIX = '{ltxd}'

const DAY_S = 24 * 3600

/**
 * A job is tried five times within about half a minute; the next interval brings another. Finished jobs are removed.
 */
export const JOB_OPTIONS = {
  attempts: 5,
  backoff: { type: 'exponential', delay: 1000, jitter: 0.5 },
  removeOnComplete: { age: DAY_S, count: 1000 },
  removeOnFail: { age: 7 * DAY_S, count: 1000 },
} as const satisfies DefaultJobOptions

/** How often a job may be taken from workers that died before it fails for good: the job may be what kills them. */
export const MAX_STALLED_COUNT = 10
