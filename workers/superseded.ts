import type { Job } from 'bullmq'
import type { Redis } from 'ioredis'
import { KEY_PREFIX } from './queues.ts'

/** The result of a job that a newer job of the same schedule made needless. */
export const SUPERSEDED = { outcome: 'superseded' } as const

/** A job that returns after this time runs once more than necessary. */
const REMEMBERED_MS = 24 * 3_600_000

const BEGIN = `
local newest = tonumber(redis.call('get', KEYS[1]) or '0')
if newest > tonumber(ARGV[1]) then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`

/**
 * Whether a newer job of the same schedule has begun, which then does all of this job's work. A schedule has one job
 * ahead, made when the job before begins. But a job whose worker died or stalled returns besides the next one, and
 * each time there would be one more. A job that is merely late is never dropped in favour of one that still waits:
 * otherwise each could be dropped for the next, for ever.
 */
export async function isSuperseded(redis: Redis, job: Job): Promise<boolean> {
  const { repeatJobKey: schedule, id } = job
  const dueMs = Number(id?.split(':').at(-1))
  // Enqueued by a program, not by a schedule.
  if (schedule === undefined || !Number.isSafeInteger(dueMs)) return false
  return (await redis.eval(BEGIN, 1, `${KEY_PREFIX}:begun:${schedule}`, dueMs, REMEMBERED_MS)) === 0
}
