import { Queue } from 'bullmq'
import { failureReason } from '../src/backup/history/failure.ts'
import { loadHistories } from '../src/backup/history/history.ts'
import type { BackupSchedule } from '../src/backup/history/levels.ts'
import type { ObjectStore } from '../src/objectstore/objectstore.ts'
import { openObjectStore } from '../src/objectstore/stores/open.ts'
import { PromptStore } from '../src/objectstore/stores/prompt-store.ts'
import { type Clock, systemClock } from '../src/util/clock.ts'
import type { Logger } from '../src/util/log.ts'
import { JOB_OPTIONS, KEY_PREFIX } from './queues.ts'
import { RedisLink } from './redis.ts'
import { type ExistingSchedule, planSchedules, type ScheduledQueue, wantedSchedules } from './schedule-plan.ts'

export interface SchedulerOptions {
  readonly redisUrl: string
  readonly backup: string
  readonly schedule: BackupSchedule
  /** How often the backup is listed to find new and removed databases. */
  readonly discoverIntervalMs: number
  readonly logger: Logger
  readonly clock?: Clock
}

const SCHEDULED: readonly ScheduledQueue[] = ['compact', 'snapshot', 'retain']

/**
 * Maintains in Redis one schedule for each level, for the snapshots and for the retention of each database in a
 * backup. The schedules create the jobs by themselves, even while no scheduler runs.
 */
export class Scheduler {
  readonly #options: SchedulerOptions
  readonly #clock: Clock
  readonly #link: RedisLink
  readonly #store: ObjectStore
  readonly #stopping = new AbortController()
  #queues: Record<ScheduledQueue, Queue> | undefined
  #loop: Promise<void> | undefined

  constructor(options: SchedulerOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#store = new PromptStore(openObjectStore(options.backup), this.#stopping.signal)
    this.#link = new RedisLink(options.redisUrl, options.logger)
  }

  /** Waits for Redis. Throws RedisRefusedError. */
  async start(): Promise<void> {
    await this.#link.open()
    if (this.#stopping.signal.aborted) return
    const queue = (name: ScheduledQueue) => {
      const made = new Queue(name, { connection: this.#link.client, prefix: KEY_PREFIX })
      made.on('error', (error) => this.#link.failed(error))
      return made
    }
    this.#queues = { compact: queue('compact'), snapshot: queue('snapshot'), retain: queue('retain') }
    this.#options.logger.info({ redis: this.#link.url, url: this.#store.url }, 'scheduler ready')
    this.#loop = this.#run()
  }

  async stop(timeoutMs: number): Promise<void> {
    this.#stopping.abort(new Error('the scheduler is stopping'))
    const waited = new AbortController()
    await Promise.race([this.#loop, this.#clock.sleep(timeoutMs, waited.signal).catch(() => undefined)])
    waited.abort()
    this.#link.close()
    await this.#store.close()
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    const { logger, discoverIntervalMs } = this.#options
    let reason: string | undefined
    while (!signal.aborted) {
      try {
        await this.#update()
        if (reason !== undefined) logger.info({ url: this.#store.url }, 'scheduling works again')
        reason = undefined
      } catch (error) {
        if (signal.aborted) return
        if (failureReason(error) !== reason) logger.error({ err: error }, 'scheduling failed; it is retried')
        reason = failureReason(error)
      }
      await this.#clock.sleep(discoverIntervalMs, signal).catch(() => undefined)
    }
  }

  async #update(): Promise<void> {
    const { backup, schedule, logger } = this.#options
    await this.#link.assertClock(Date.now())
    const databases = [...(await loadHistories(this.#store)).keys()]
    const wanted = wantedSchedules(backup, databases, schedule)
    let added = 0
    let removed = 0
    for (const name of SCHEDULED) {
      const queue = this.#queues?.[name]
      if (queue === undefined) return
      const existing: ExistingSchedule[] = []
      for (const scheduler of await queue.getJobSchedulers()) {
        existing.push(await toExisting(queue, scheduler, this.#clock.now()))
      }
      const mine = wanted.filter((item) => item.queue === name)
      const { upsert, remove } = planSchedules(backup, mine, existing, this.#clock.now())
      for (const { id, everyMs, startMs, payload } of upsert) {
        const template = { name, data: payload, opts: JOB_OPTIONS }
        await queue.upsertJobScheduler(id, { every: everyMs, startDate: startMs }, template)
      }
      for (const id of remove) await queue.removeJobScheduler(id)
      added += upsert.length
      removed += remove.length
    }
    const level = added + removed > 0 ? 'info' : 'debug'
    logger[level]({ databases: databases.length, schedules: wanted.length, added, removed }, 'schedules are up to date')
  }
}

/** How late a job may be because it waits for a worker. */
const LATE_MS = 60_000

/**
 * A schedule whose next job is late is not made anew while that job exists. If workers are missing or too few, making
 * it anew would move the job to the end of the queue again and again.
 */
async function toExisting(
  queue: Queue,
  { key, every, template, next }: Awaited<ReturnType<Queue['getJobSchedulers']>>[number],
  nowMs: number,
): Promise<ExistingSchedule> {
  const hasNext =
    next !== undefined && (next > nowMs - LATE_MS || PENDING.has(await queue.getJobState(`repeat:${key}:${next}`)))
  return { id: key, everyMs: every, payload: template?.data as unknown, hasNext }
}

const PENDING = new Set(['waiting', 'delayed', 'prioritized', 'active'])
