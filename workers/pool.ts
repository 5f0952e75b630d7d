import { DelayedError, type Job, UnrecoverableError, WaitingError, Worker } from 'bullmq'
import { warnOfTestLimits } from '../src/config/limits.ts'
import { loadSdk } from '../src/objectstore/s3/client.ts'
import type { Logger } from '../src/util/log.ts'
import { BUSY, LockLostError, withDatabaseLock } from './database-lock.ts'
import { databaseId } from './job-ids.ts'
import { failureText, isPassing } from './outcome.ts'
import { parsePayload } from './payloads.ts'
import type { RestoreContext } from './processors/context.ts'
import { PROCESSORS, type Results } from './processors/table.ts'
import { isLockError, isQueueError } from './queue-errors.ts'
import { KEY_PREFIX, MAX_STALLED_COUNT, type QueueName } from './queues.ts'
import { RedisLink } from './redis.ts'
import { StoreShelf } from './store-shelf.ts'
import { isSuperseded, SUPERSEDED } from './superseded.ts'

export interface PoolOptions {
  readonly redisUrl: string
  readonly queues: readonly QueueName[]
  /** Compactions at a time, and restores; of snapshots and of retention half as many, so that compaction always gets on. */
  readonly concurrency: number
  /** A job, and a database, of a worker that has died is free after so long; renewed for as long as the work takes. */
  readonly lockMs: number
  readonly outputDir?: string
  readonly logger: Logger
}

type Result = Results[QueueName] | typeof SUPERSEDED

/** Nothing depends on how soon these are done. */
const CAN_WAIT: ReadonlySet<QueueName> = new Set(['snapshot', 'retain'])
/** A database that another worker is at is asked for again after so long. */
const BUSY_PAUSE_MS = 1000
const PROGRESS_INTERVAL_MS = 1000
/** For jobs to be handed back, once they are no longer waited for. */
const HAND_BACK_MS = 5000

/** A processor of jobs: takes them from the queues for as long as it is open. Any number of them may run, anywhere. */
export class WorkerPool {
  readonly #options: PoolOptions
  readonly #link: RedisLink
  readonly #stores = new StoreShelf()
  /** By queue and job. Aborted with a LockLostError when the job is another's, else when this worker stops. */
  readonly #inHand = new Map<string, AbortController>()
  #stopping = false
  #workers: Worker[] = []

  constructor(options: PoolOptions) {
    this.#options = options
    this.#link = new RedisLink(options.redisUrl, options.logger)
  }

  /** Waits for Redis. Throws RedisRefusedError. */
  async start(): Promise<void> {
    const { queues, concurrency, logger } = this.#options
    warnOfTestLimits(logger)
    // Before there are jobs in hand, whose locks would run out meanwhile. Where it fails, jobs tell it.
    await Promise.all([this.#link.open(), loadSdk().catch(() => undefined)])
    if (this.#stopping) return
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
    this.#stopping = true
    for (const control of this.#inHand.values()) control.abort(new Error('the worker is stopping'))
    if (!clean) clean = await settled(closed, HAND_BACK_MS)
    this.#link.close()
    await settled(this.#stores.close(), HAND_BACK_MS)
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
    worker.on('stalled', (id) => logger.warn({ queue, job: id }, 'the worker of a job has gone; the job is done again'))
    worker.on('failed', (job, error) => {
      const final = job === undefined || job.finishedOn !== undefined
      const fields = { queue, job: job?.id, attempt: job?.attemptsMade, reason: error.message }
      if (final) logger.error(fields, 'job failed')
      else logger.warn(fields, 'job failed; it is tried again')
    })
    return worker
  }

  async #process(queue: QueueName, job: Job, token: string): Promise<Result> {
    const name = nameOf(queue, job.id)
    const earlier = this.#inHand.get(name)
    if (earlier !== undefined) {
      // Taken from this worker, and given to it again before it had noticed: two runs at once would lose each other's lock.
      earlier.abort(new LockLostError(name))
      return this.#postpone(queue, job, token)
    }
    const control = new AbortController()
    this.#inHand.set(name, control)
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
      // What comes of it is told by whoever has it now.
      if (aborted && reason instanceof LockLostError) throw reason
      if (aborted) {
        await job.moveToWait(token)
        throw new WaitingError()
      }
      // Of the database: the job is still this worker's.
      if (!(error instanceof LockLostError)) {
        throw isPassing(error) ? withCode(error) : new UnrecoverableError(failureText(error))
      }
    } finally {
      this.#inHand.delete(name)
    }
    return this.#postpone(queue, job, token)
  }

  async #run(queue: QueueName, job: Job, signal: AbortSignal): Promise<Results[QueueName] | typeof BUSY> {
    const payload = parsePayload(queue, job.data)
    const { run, exclusive } = PROCESSORS[queue] as (typeof PROCESSORS)['compact']
    const { backup, database } = payload
    const { outputDir, lockMs } = this.#options
    const work = async (held: AbortSignal) => {
      const { open, giveBack } = this.#stores.borrow(held)
      const context: RestoreContext = {
        store: open(backup),
        openStore: open,
        signal: held,
        progress: throttled((pages) => void job.updateProgress({ pages }).catch(() => undefined)),
        nowMs: () => Date.now(),
        ...(outputDir === undefined ? {} : { outputDir }),
        pin: (target) => job.updateData({ ...payload, target }),
      }
      try {
        return await run(payload as Parameters<typeof run>[0], context)
      } finally {
        await giveBack()
      }
    }
    if (!exclusive) return work(signal)
    return withDatabaseLock(this.#link.client, databaseId(backup, database), lockMs, (held) =>
      work(AbortSignal.any([signal, held])),
    )
  }

  /** Later, and not as another attempt. */
  async #postpone(queue: QueueName, job: Job, token: string): Promise<never> {
    try {
      await job.moveToDelayed(Date.now() + BUSY_PAUSE_MS, token)
    } catch (error) {
      if (isLockError(error)) this.#sayLost(queue, 1)
      throw error
    }
    throw new DelayedError()
  }

  /** Others do these jobs now: they are left at once, and said once, however often renewing fails until they have ended. */
  #lost(queue: QueueName, jobs: readonly string[]): void {
    const inHand = jobs.flatMap((id) => this.#inHand.get(nameOf(queue, id)) ?? [])
    const news = inHand.filter(({ signal }) => !signal.aborted)
    for (const control of news) control.abort(new LockLostError('a job'))
    if (news.length > 0) this.#sayLost(queue, news.length)
  }

  #sayLost(queue: QueueName, jobs: number): void {
    this.#options.logger.warn(
      { queue, jobs, lockMs: this.#options.lockMs },
      'locks of jobs ran out: this worker, or Redis, stood still for longer than they last; the jobs are done again',
    )
  }

  /** What BullMQ has to say about a queue: of Redis, of a lock, or of a schedule. */
  #failed(queue: QueueName, error: Error): void {
    const { logger } = this.#options
    if (isLockError(error)) logger.debug({ queue, reason: error.message }, 'a job that was lost has ended here too')
    else if (isQueueError(error)) logger.warn({ queue, reason: error.message }, 'a job could not be moved on')
    else this.#link.failed(error)
  }

  #report(queue: QueueName, job: Job, result: Result, tookMs: number): void {
    const { database } = job.data as { readonly database: string }
    const idle =
      result === SUPERSEDED ||
      ('written' in result && result.written.length === 0) ||
      ('deleted' in result && result.deleted === 0)
    this.#options.logger[idle ? 'debug' : 'info']({ queue, db: database, ...result, tookMs }, 'job done')
  }
}

function nameOf(queue: QueueName, id: string | undefined): string {
  return `job ${id ?? ''} of queue ${queue}`
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
