import type { Job } from 'bullmq'
import type { Redis } from 'ioredis'
import { KEY_PREFIX } from './queues.ts'

/** What a job comes to that a newer one of its schedule has made needless. */
export const SUPERSEDED = { outcome: 'superseded' } as const

/** A job that comes back after this is done once more than it had to be. */
const REMEMBERED_MS = 24 * 3_600_000

const BEGIN = `
local newest = tonumber(redis.call('get', KEYS[1]) or '0')
if newest > tonumber(ARGV[1]) then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`

/**
 * Whether a newer job of the same schedule has begun already, which then does all that this one would. A schedule has one job
 * ahead, made when the one before begins; but one whose worker has died or stood still comes back, besides the next, and
 * each time that happens there would be one more. One that is merely late is never dropped for another that still waits: so
 * each could be dropped for the next, for ever.
 */
export async function isSuperseded(redis: Redis, job: Job): Promise<boolean> {
  const { repeatJobKey: schedule, id } = job
  const dueMs = Number(id?.split(':').at(-1))
  // Asked for, not scheduled.
  if (schedule === undefined || !Number.isSafeInteger(dueMs)) return false
  return (await redis.eval(BEGIN, 1, `${KEY_PREFIX}:begun:${schedule}`, dueMs, REMEMBERED_MS)) === 0
}
