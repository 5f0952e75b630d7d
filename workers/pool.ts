import { DelayedError, UnrecoverableError, WaitingError, Worker, type Job } from 'bullmq'
import { openObjectStore } from '../src/objectstore/open.ts'
import type { Logger } from '../src/util/log.ts'
import { BUSY, LockLostError, withDatabaseLock } from './database-lock.ts'
import { databaseId } from './job-ids.ts'
import { failureText, isPassing } from './outcome.ts'
import { parsePayload } from './payloads.ts'
import type { RestoreContext } from './processors/context.ts'
import { PROCESSORS, type Results } from './processors/table.ts'
import { KEY_PREFIX, MAX_STALLED_COUNT, type QueueName } from './queues.ts'
import { RedisLink } from './redis.ts'

export interface PoolOptions {
  readonly redisUrl: string
  readonly queues: readonly QueueName[]
  /** Jobs of each queue at a time. */
  readonly concurrency: number
  /** A job, and a database, of a worker that has died is free after so long; renewed for as long as the work takes. */
  readonly lockMs: number
  readonly outputDir?: string
  readonly logger: Logger
}

/** A database that another worker is at is asked for again after so long. */
const BUSY_PAUSE_MS = 1000
const PROGRESS_INTERVAL_MS = 1000
/** For jobs to be handed back, once they are no longer waited for. */
const HAND_BACK_MS = 5000

/** A processor of jobs: takes them from the queues for as long as it is open. Any number of them may run, anywhere. */
export class WorkerPool {
  readonly #options: PoolOptions
  readonly #link: RedisLink
  readonly #stopping = new AbortController()
  #workers: Worker[] = []

  constructor(options: PoolOptions) {
    this.#options = options
    this.#link = new RedisLink(options.redisUrl, options.logger)
  }

  /** Waits for Redis. Throws RedisRefusedError. */
  async start(): Promise<void> {
    const { queues, concurrency, logger } = this.#options
    await this.#link.open()
    if (this.#stopping.signal.aborted) return
    this.#workers = queues.map((queue) => this.#work(queue))
    await Promise.all(this.#workers.map((worker) => worker.waitUntilReady()))
    logger.info({ redis: this.#link.url, queues, concurrency }, 'worker ready')
  }

  /**
   * Takes no more jobs; waits for those in hand, and after `timeoutMs` hands them back, so that another worker takes them at
   * once. False when Redis is away and cannot be told: then they are taken when their locks run out.
   */
  async stop(timeoutMs: number): Promise<boolean> {
    const closed = Promise.all(this.#workers.map((worker) => worker.close()))
    let clean = await settled(closed, timeoutMs)
    this.#stopping.abort(new Error('the worker is stopping'))
    if (!clean) clean = await settled(closed, HAND_BACK_MS)
    this.#link.close()
    return clean
  }

  #work(queue: QueueName): Worker {
    const { concurrency, lockMs } = this.#options
    const worker = new Worker<unknown, Results[QueueName]>(
      queue,
      // Three parameters: only then is there a signal.
      (job, token, signal) => this.#process(queue, job, token ?? '', signal ?? this.#stopping.signal),
      {
        connection: this.#link.client,
        prefix: KEY_PREFIX,
        concurrency,
        lockDuration: lockMs,
        stalledInterval: lockMs / 2,
        maxStalledCount: MAX_STALLED_COUNT,
      },
    )
    const { logger } = this.#options
    worker.on('error', (error) => this.#link.failed(error))
    worker.on('lockRenewalFailed', (jobs) => jobs.forEach((id) => worker.cancelJob(id, 'its lock was lost')))
    worker.on('stalled', (id) => logger.warn({ queue, job: id }, 'the worker of a job has gone; the job is done again'))
    worker.on('failed', (job, error) => {
      const final = job === undefined || job.finishedOn !== undefined
      const fields = { queue, job: job?.id, attempt: job?.attemptsMade, reason: error.message }
      if (final) logger.error(fields, 'job failed')
      else logger.warn(fields, 'job failed; it is tried again')
    })
    return worker
  }

  async #process(queue: QueueName, job: Job, token: string, cancelled: AbortSignal): Promise<Results[QueueName]> {
    const startedMs = performance.now()
    try {
      const result = await this.#run(queue, job, AbortSignal.any([cancelled, this.#stopping.signal]))
      if (result === BUSY) {
        await job.moveToDelayed(Date.now() + BUSY_PAUSE_MS, token)
        throw new DelayedError()
      }
      this.#report(queue, job, result, Math.round(performance.now() - startedMs))
      return result
    } catch (error) {
      if (error instanceof DelayedError) throw error
      if (this.#stopping.signal.aborted) {
        await job.moveToWait(token)
        throw new WaitingError()
      }
      // What comes of a lock that was lost is told by whoever has it now.
      if (cancelled.aborted) throw new LockLostError(`job ${job.id ?? ''}`)
      throw isPassing(error) ? withCode(error) : new UnrecoverableError(failureText(error))
    }
  }

  async #run(queue: QueueName, job: Job, signal: AbortSignal): Promise<Results[QueueName] | typeof BUSY> {
    const payload = parsePayload(queue, job.data)
    const { run, exclusive } = PROCESSORS[queue] as (typeof PROCESSORS)['compact']
    const { backup, database } = payload
    const store = openObjectStore(backup)
    const { outputDir, lockMs } = this.#options
    const context = (held: AbortSignal): RestoreContext => ({
      store,
      openStore: openObjectStore,
      signal: held,
      progress: throttled((pages) => void job.updateProgress({ pages }).catch(() => undefined)),
      nowMs: () => Date.now(),
      ...(outputDir === undefined ? {} : { outputDir }),
      pin: (target) => job.updateData({ ...payload, target }),
    })
    try {
      if (!exclusive) return await run(payload as Parameters<typeof run>[0], context(signal))
      return await withDatabaseLock(this.#link.client, databaseId(backup, database), lockMs, (held) =>
        run(payload as Parameters<typeof run>[0], context(AbortSignal.any([signal, held]))),
      )
    } finally {
      await store.close()
    }
  }

  #report(queue: QueueName, job: Job, result: Results[QueueName], tookMs: number): void {
    const { database } = job.data as { readonly database: string }
    const idle = ('written' in result && result.written.length === 0) || ('deleted' in result && result.deleted === 0)
    this.#options.logger[idle ? 'debug' : 'info']({ queue, db: database, ...result, tookMs }, 'job done')
  }
}

/** BullMQ keeps the message alone. */
function withCode(error: unknown): Error {
  return new Error(failureText(error), { cause: error })
}

function throttled(report: (pages: number) => void): (pages: number) => void {
  let lastMs = performance.now()
  return (pages) => {
    const nowMs = performance.now()
    if (nowMs - lastMs < PROGRESS_INTERVAL_MS) return
    lastMs = nowMs
    report(pages)
  }
}

/** Whether it is done within the time. */
async function settled(work: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), timeoutMs)))
  try {
    return await Promise.race([
      work.then(
        () => true,
        () => false,
      ),
      late,
    ])
  } finally {
    clearTimeout(timer)
  }
}
