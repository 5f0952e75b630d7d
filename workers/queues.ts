/** The queues, and how jobs in them are kept, tried again and let go. */

import type { DefaultJobOptions } from 'bullmq'

export const QUEUE_NAMES = ['compact', 'snapshot', 'retain', 'restore'] as const
export type QueueName = (typeof QUEUE_NAMES)[number]

/** Of all keys in Redis. The braces keep them in one slot of a Redis cluster. */
export const KEY_PREFIX = '{ltxd}'

const DAY_S = 24 * 3600

/** A job is tried five times within about half a minute; the next interval brings another. Finished jobs are let go. */
export const JOB_OPTIONS = {
  attempts: 5,
  backoff: { type: 'exponential', delay: 1000, jitter: 0.5 },
  removeOnComplete: { age: DAY_S, count: 1000 },
  removeOnFail: { age: 7 * DAY_S, count: 1000 },
} as const satisfies DefaultJobOptions

/** How often a job may be taken from workers that died before it is given up: it may be what kills them. */
export const MAX_STALLED_COUNT = 10
