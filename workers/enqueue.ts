import { type Job, Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import type { z } from 'zod'
import { jobId } from './job-ids.ts'
import type { PAYLOADS } from './payloads.ts'
import { parsePayload } from './payloads.ts'
import type { Results } from './processors/table.ts'
import { JOB_OPTIONS, KEY_PREFIX, type QueueName } from './queues.ts'

/**
 * Adds one job. Adding a job that is already waiting or running returns that job. A finished restore stays finished
 * for a day; a failed one is retried. Throws PayloadError. The caller closes `redis`.
 */
export async function enqueue<Q extends QueueName>(
  redis: Redis,
  queue: Q,
  payload: z.input<(typeof PAYLOADS)[Q]>,
): Promise<Job<unknown, Results[Q]>> {
  const data = parsePayload(queue, payload)
  const id = jobId(data)
  const jobs = new Queue<unknown, Results[Q], string, unknown, Results[Q], string>(queue, {
    connection: redis,
    prefix: KEY_PREFIX,
  })
  try {
    // A restore's job id stays taken after it finishes; upkeep may be added again and again.
    if (queue !== 'restore') return await jobs.add(queue, data, { ...JOB_OPTIONS, deduplication: { id } })
    const before = await jobs.getJob(id)
    if (before !== undefined && (await before.isFailed())) await before.retry('failed')
    return await jobs.add(queue, data, { ...JOB_OPTIONS, jobId: id })
  } finally {
    await jobs.close()
  }
}
