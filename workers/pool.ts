import { DelayedError, type Job, UnrecoverableError, WaitingError, Worker } from 'bullmq'
import { warnOfTestLimits } from '../src/config/limits.ts'
import { loadSdk } from '../src/objectstore/s3/client.ts'
import { errorMessage } from '../src/util/errors.ts'
import type { Logger } from '../src/util/log.ts'
import { shorten } from '../src/util/shorten.ts'
import { BUSY, LockLostError, withDatabaseLock } from './database-lock.ts'
import { databaseId } from './job-ids.ts'
import { cutLongJobs } from './long-jobs.ts'
import { failureText, isPassing } from './outcome.ts'
import { parsePayload } from './payloads.ts'
import type { RestoreContext } from './processors/context.ts'
import { PROCESSORS, type Results } from './processors/table.ts'
import { isLockError, isQueueError, isUnreadableJob } from './queue-errors.ts'
import { KEY_PREFIX, MAX_STALLED_COUNT, type QueueName } from './queues.ts'
import { RedisLink } from './redis.ts'
import type { Stores } from './stores.ts'
import { isSuperseded, SUPERSEDED } from './superseded.ts'

export interface PoolOptions {
  readonly redisUrl: string
  readonly queues: readonly QueueName[]
  /**
   * How many compactions, and how many restores, run at once. Snapshots and retention get half as many each, so they
   * never starve compaction.
   */
  readonly concurrency: number
  /** How long the job and database of a dead worker stay locked. Renewed while the work runs. */
  readonly lockMs: number
  /** The only stores that jobs may use. The pool closes them when it stops. */
  readonly stores: Stores
  readonly outputDir?: string
  readonly logger: Logger
}

type Result = Results[QueueName] | typeof SUPERSEDED

/** Queues whose jobs are not urgent. */
const CAN_WAIT: ReadonlySet<QueueName> = new Set(['snapshot', 'retain'])
/** The pause before a job is retried whose database another worker has locked. */
const BUSY_PAUSE_MS = 1000
const PROGRESS_INTERVAL_MS = 1000
/** What a log line repeats of an error. */
const MAX_REASON = 1000
/** How long returning the jobs may take once the pool no longer waits for them. */
const RETURN_MS = 5000

/** Processes jobs from the queues while it is open. Any number of pools may run, on any machine. */
export class WorkerPool {
  readonly #options: PoolOptions
  readonly #link: RedisLink
  /**
   * Running jobs, by queue and job. Aborted with a LockLostError when another worker has the job, otherwise when this
   * pool stops.
   */
  readonly #running = new Map<string, AbortController>()
  #stopping = false
  #isCutting = false
  #workers: Worker[] = []

  constructor(options: PoolOptions) {
    this.#options = options
    this.#link = new RedisLink(options.redisUrl, options.logger, () => void this.#cutLongJobs())
  }

  /** Waits for Redis. Throws RedisRefusedError. */
  async start(): Promise<void> {
    const { queues, concurrency, stores, logger } = this.#options
    warnOfTestLimits(logger)
    // Load the SDK before jobs are running, whose locks would expire meanwhile. If loading fails, the jobs report it.
    await Promise.all([this.#link.open(), loadSdk().catch(() => undefined)])
    if (this.#stopping) return
    this.#workers = queues.map((queue) => this.#work(queue))
    await Promise.all(this.#workers.map((worker) => worker.waitUntilReady()))
    logger.info({ redis: this.#link.url, queues, concurrency, stores: stores.names }, 'worker ready')
  }

  /**
   * Accepts no more jobs and waits for the running ones. After `timeoutMs` it returns them to the queue, so that
   * another worker takes them at once. False when Redis is unreachable: other workers then take them when their locks
   * expire.
   */
  async stop(timeoutMs: number): Promise<boolean> {
    const closed = Promise.all(this.#workers.map((worker) => worker.close()))
    let clean = await completes(closed, timeoutMs)
    this.#stopping = true
    for (const control of this.#running.values()) control.abort(new Error('the worker is stopping'))
    if (!clean) clean = await completes(closed, RETURN_MS)
    this.#link.close()
    await completes(this.#options.stores.close(), RETURN_MS)
    return clean
  }

  #work(queue: QueueName): Worker {
    const { concurrency, lockMs } = this.#options
    const worker = new Worker<unknown, Result>(queue, (job, token) => this.#process(queue, job, token ?? ''), {
      connection: this.#link.client,
      prefix: KEY_PREFIX,
      concurrency: CAN_WAIT.has(queue) ? Math.ceil(concurrency / 2) : concurrency,
      lockDuration: lockMs,
      stalledInterval: lockMs / 2,
      maxStalledCount: MAX_STALLED_COUNT,
    })
    const { logger } = this.#options
    worker.on('error', (error) => this.#failed(queue, error))
    worker.on('lockRenewalFailed', (jobs) => this.#lost(queue, jobs))
    worker.on('stalled', (id) =>
      logger.warn({ queue, job: shorten(id) }, 'the worker of a job died or lost its lock; the job is repeated'),
    )
    worker.on('failed', (job, error) => {
      const final = job === undefined || job.finishedOn !== undefined
      const reason = shorten(error.message, MAX_REASON)
      const fields = { queue, job: shorten(job?.id ?? ''), attempt: job?.attemptsMade, reason }
      if (final) logger.error(fields, 'job failed')
      else logger.warn(fields, 'job failed; it is retried')
    })
    return worker
  }

  async #process(queue: QueueName, job: Job, token: string): Promise<Result> {
    const name = nameOf(queue, job.id)
    const earlier = this.#running.get(name)
    if (earlier !== undefined) {
      // Another worker took the job, and it came back before this one noticed: two runs at once would lose each
      // other's lock.
      earlier.abort(new LockLostError(name))
      return this.#postpone(queue, job, token)
    }
    const control = new AbortController()
    this.#running.set(name, control)
    const startedMs = performance.now()
    try {
      const result = (await isSuperseded(this.#link.client, job))
        ? SUPERSEDED
        : await this.#run(queue, job, control.signal)
      if (result !== BUSY) {
        this.#report(queue, job, result, Math.round(performance.now() - startedMs))
        return result
      }
    } catch (error) {
      const { aborted, reason } = control.signal as { readonly aborted: boolean; readonly reason: unknown }
      // The worker that has the job now reports its outcome.
      if (aborted && reason instanceof LockLostError) throw reason
      if (aborted) {
        await job.moveToWait(token)
        throw new WaitingError()
      }
      // Only the database's lock was lost: the job still belongs to this worker.
      if (!(error instanceof LockLostError)) {
        throw isPassing(error) ? withCode(error) : new UnrecoverableError(failureText(error))
      }
    } finally {
      this.#running.delete(name)
    }
    return this.#postpone(queue, job, token)
  }

  async #run(queue: QueueName, job: Job, signal: AbortSignal): Promise<Results[QueueName] | typeof BUSY> {
    const payload = parsePayload(queue, job.data)
    const { run, exclusive } = PROCESSORS[queue] as (typeof PROCESSORS)['compact']
    const { backup, database } = payload
    const { stores, outputDir, lockMs } = this.#options
    const { url } = stores.find(backup)
    const work = async (held: AbortSignal) => {
      const { open } = stores.borrow(held)
      const context: RestoreContext = {
        store: open(backup),
        openStore: open,
        signal: held,
        progress: throttled((pages) => void job.updateProgress({ pages }).catch(() => undefined)),
        nowMs: () => Date.now(),
        ...(outputDir === undefined ? {} : { outputDir }),
        pin: (target) => job.updateData({ ...payload, target }),
      }
      // The only jobs that destroy: neither Redis' clock nor the store's may contradict this machine's.
      if (queue === 'retain') await this.#link.assertClock(Date.now())
      return run(payload as Parameters<typeof run>[0], context)
    }
    if (!exclusive) return work(signal)
    return withDatabaseLock(this.#link.client, databaseId(url, database), lockMs, (held) =>
      work(AbortSignal.any([signal, held])),
    )
  }

  /** Delays the job, without counting an attempt. */
  async #postpone(queue: QueueName, job: Job, token: string): Promise<never> {
    try {
      await job.moveToDelayed(Date.now() + BUSY_PAUSE_MS, token)
    } catch (error) {
      if (isLockError(error)) this.#reportLost(queue, 1)
      throw error
    }
    throw new DelayedError()
  }

  /**
   * Other workers have these jobs now: abort them at once, and log it once, however often renewing fails until they
   * end.
   */
  #lost(queue: QueueName, jobs: readonly string[]): void {
    const running = jobs.flatMap((id) => this.#running.get(nameOf(queue, id)) ?? [])
    const news = running.filter(({ signal }) => !signal.aborted)
    for (const control of news) control.abort(new LockLostError('a job'))
    if (news.length > 0) this.#reportLost(queue, news.length)
  }

  #reportLost(queue: QueueName, jobs: number): void {
    this.#options.logger.warn(
      { queue, jobs, lockMs: this.#options.lockMs },
      'locks of jobs expired: this worker, or Redis, paused for longer than they last; the jobs are repeated',
    )
  }

  /** Handles an error that BullMQ reports on a queue: about Redis, a lock, or a schedule. */
  #failed(queue: QueueName, error: Error): void {
    const { logger } = this.#options
    if (isLockError(error))
      logger.debug({ queue, reason: error.message }, 'a job that another worker has taken ended here too')
    else if (isQueueError(error))
      logger.warn({ queue, reason: shorten(error.message, MAX_REASON) }, 'a job or schedule could not be updated')
    else if (isUnreadableJob(error))
      logger.warn(
        { queue, reason: shorten(error.message, MAX_REASON) },
        'a job in Redis cannot be read, and is not done',
      )
    else this.#link.failed(error)
  }

  /** What could not be read may be a job. Otherwise each worker that takes it would lose its connection, for ever. */
  async #cutLongJobs(): Promise<void> {
    if (this.#workers.length === 0 || this.#isCutting) return
    this.#isCutting = true
    const { queues, logger } = this.#options
    try {
      for (const queue of queues) {
        const jobs = await cutLongJobs(this.#link.client, queue)
        if (jobs > 0) logger.error({ queue, jobs }, 'jobs in Redis are too long to be read: they fail')
      }
    } catch (error) {
      logger.warn({ reason: shorten(errorMessage(error), MAX_REASON) }, 'jobs that are too long could not be cut')
    } finally {
      this.#isCutting = false
    }
  }

  #report(queue: QueueName, job: Job, result: Result, tookMs: number): void {
    const { database } = job.data as { readonly database: string }
    const idle =
      result === SUPERSEDED ||
      ('written' in result && result.written.length === 0) ||
      ('deleted' in result && result.deleted === 0)
    this.#options.logger[idle ? 'debug' : 'info']({ queue, database, ...result, tookMs }, 'job done')
  }
}

function nameOf(queue: QueueName, id: string | undefined): string {
  return `job ${shorten(id ?? '')} of queue ${queue}`
}

/** BullMQ stores only the message. */
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

/** Whether the work completes within the time. */
async function completes(work: Promise<unknown>, timeoutMs: number): Promise<boolean> {
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
