import type { BackupLogger, Clock } from '../../util/clock.ts'
import { failureReason } from '../history/failure.ts'
import { type BackupSchedule, nextBoundary, type RetentionPolicy } from '../history/levels.ts'
import { type Look, type Survey, type Surveyed, type SurveyedDatabase, Surveys } from './surveys.ts'

/** The maintenance of one database's backup. */
export interface Maintained extends Surveyed {
  compact(level: number, signal: AbortSignal): Promise<CompactionOutcome>
  snapshot(signal: AbortSignal): Promise<void>
  /** Looks for damage in a listing. Returns whether the newest state can be restored from what is listed. */
  check(listed: SurveyedDatabase, signal: AbortSignal): Promise<boolean>
  /** Returns when there will be more to delete if nothing is added. Lists, unless the caller has. */
  retain(policy: RetentionPolicy, signal: AbortSignal, listed?: SurveyedDatabase): Promise<number>
}

export interface CompactionOutcome {
  /** The level has new files. */
  readonly changed: boolean
  /** The level below holds files that were too young to use. */
  readonly isBehind: boolean
}

interface Entry {
  readonly target: Maintained
  /** Levels whose source has changed since they were made. */
  readonly dueLevels: Set<number>
  snapshotDue: boolean
  /** Requested now, before the next boundary. */
  snapshotRequested: boolean
  /** From when on there may be files to delete, by the monotonic clock. */
  retainAtMs: number
  /** The last failure of each task, so that repeats are not logged. */
  readonly failures: Map<string, string>
}

/** How often all databases are listed, at most: level 0 is rarely to be deleted sooner. */
const MAX_SURVEY_MS = 300_000
/** Longer timeouts overflow a timer. */
const MAX_SLEEP_MS = 24 * 3_600_000

interface Task {
  dueMs(): number
  run(): Promise<void>
}

/**
 * Compaction, snapshots and retention of all databases, one at a time, at their boundaries, and a look at each of them
 * within an interval. Otherwise a database without new uploads costs nothing.
 */
export class Maintenance {
  readonly #schedule: BackupSchedule
  readonly #clock: Clock
  readonly #logger: BackupLogger
  readonly #periodic: boolean
  readonly #survey: Survey
  readonly #surveys: Surveys
  #surveyFailure: string | undefined
  readonly #entries = new Map<string, Entry>()
  readonly #stopping = new AbortController()
  #wake = new AbortController()
  #loop: Promise<void> | undefined

  /** Without `periodic`, only requested snapshots are made, and databases looked at. */
  constructor(schedule: BackupSchedule, clock: Clock, logger: BackupLogger, survey: Survey, periodic = true) {
    this.#survey = survey
    this.#surveys = new Surveys(survey, clock, schedule.verifyIntervalMs, this.#entries)
    this.#schedule = schedule
    this.#clock = clock
    this.#logger = logger
    this.#periodic = periodic
  }

  /** The state before is unknown, so everything is due once. */
  add(name: string, target: Maintained): void {
    const dueLevels = new Set(this.#schedule.levels.map(({ level }) => level))
    const due = { snapshotDue: true, snapshotRequested: false, retainAtMs: 0 }
    this.#entries.set(name, { target, dueLevels, ...due, failures: new Map() })
  }

  remove(name: string): void {
    this.#entries.delete(name)
  }

  /** Without new uploads nothing is ever to be done for the database. */
  isSettled(name: string): boolean {
    const entry = this.#entries.get(name)
    if (entry === undefined || !this.#periodic) return entry?.snapshotRequested !== true
    const { dueLevels, snapshotDue, snapshotRequested, retainAtMs } = entry
    return dueLevels.size === 0 && !snapshotDue && !snapshotRequested && retainAtMs === Infinity
  }

  /** The last failure of a task that has not succeeded since. */
  problemOf(name: string): string | undefined {
    const [failure] = this.#entries.get(name)?.failures ?? []
    return failure && `${failure[0]} fails: ${failure[1]}`
  }

  /** Call after an upload. */
  changed(name: string): void {
    const entry = this.#entries.get(name)
    if (entry === undefined) return
    const [lowest] = this.#schedule.levels
    if (lowest !== undefined) entry.dueLevels.add(lowest.level)
    entry.snapshotDue = true
  }

  requestSnapshot(name: string): void {
    const entry = this.#entries.get(name)
    if (entry === undefined) return
    entry.snapshotRequested = true
    this.#wake.abort()
  }

  start(): void {
    this.#loop ??= this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('maintenance is stopping'))
    await this.#loop
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    const tasks = [...(this.#periodic ? this.#tasks() : []), this.#looking()]
    while (!signal.aborted) {
      const nowMs = this.#clock.monotonicMs()
      const wakeMs = Math.min(nowMs + MAX_SLEEP_MS, ...tasks.map((task) => task.dueMs())) - nowMs
      await this.#sleep(wakeMs, signal)
      for (const [name, entry] of this.#entries) if (entry.snapshotRequested) await this.#snapshot(name, entry)
      for (const task of tasks) {
        if (signal.aborted || task.dueMs() > this.#clock.monotonicMs()) continue
        await task.run()
      }
    }
  }

  /** In the order in which they run at a common boundary: each level is made before the next level uses it. */
  #tasks(): Task[] {
    const { levels, snapshotIntervalMs, retentionCheckIntervalMs } = this.#schedule
    const every = (intervalMs: number, work: () => Promise<void>): Task => {
      let dueMs = this.#nextDueMs(intervalMs)
      const run = async () => {
        await work()
        dueMs = this.#nextDueMs(intervalMs)
      }
      return { dueMs: () => dueMs, run }
    }
    const each = (intervalMs: number, work: (name: string, entry: Entry) => Promise<void>): Task =>
      every(intervalMs, async () => {
        for (const [name, entry] of this.#entries) await work(name, entry)
      })
    return [
      ...levels.map(({ level, intervalMs }) => each(intervalMs, (name, entry) => this.#compact(name, entry, level))),
      each(snapshotIntervalMs, (name, entry) => this.#snapshot(name, entry)),
      this.#survey.isSparing
        ? every(retentionCheckIntervalMs, () => this.#retainTogether())
        : each(retentionCheckIntervalMs, (name, entry) => this.#retain(name, entry)),
    ]
  }

  #looking(): Task {
    const run = () => this.#lookThrough((signal) => this.#surveys.run(this.#look, signal))
    return { dueMs: () => this.#surveys.dueMs, run }
  }

  /**
   * The next boundary, which is of the wall clock so that all programs have the same, as a time of the monotonic clock:
   * a wall clock that is wrong for a moment moves one boundary, by less than an interval.
   */
  #nextDueMs(intervalMs: number): number {
    const nowMs = this.#clock.now()
    return this.#clock.monotonicMs() + nextBoundary(nowMs, intervalMs) - nowMs
  }

  #compact(name: string, entry: Entry, level: number): Promise<void> {
    if (!entry.dueLevels.delete(level)) return Promise.resolve()
    return this.#attempt(name, entry, `compaction to level ${level}`, async (signal) => {
      try {
        const { changed, isBehind } = await entry.target.compact(level, signal)
        if (isBehind) entry.dueLevels.add(level)
        // Once a level holds these transactions, the level below may delete them after a while.
        if (changed) this.#retainIn(entry, this.#schedule.retention.level0RetentionMs)
        const above = level + 1
        if (changed && this.#schedule.levels.some((other) => other.level === above)) entry.dueLevels.add(above)
      } catch (error) {
        entry.dueLevels.add(level)
        throw error
      }
    })
  }

  #snapshot(name: string, entry: Entry): Promise<void> {
    if (!entry.snapshotDue && !entry.snapshotRequested) return Promise.resolve()
    entry.snapshotDue = false
    entry.snapshotRequested = false
    return this.#attempt(name, entry, 'snapshot', async (signal) => {
      try {
        await entry.target.snapshot(signal)
        entry.retainAtMs = 0
      } catch (error) {
        entry.snapshotDue = true
        throw error
      }
    })
  }

  /** Makes a listing that is worth it for retention. */
  async #retainTogether(): Promise<void> {
    const { retention, retentionCheckIntervalMs } = this.#schedule
    const intervalMs = Math.max(retentionCheckIntervalMs, Math.min(retention.level0RetentionMs, MAX_SURVEY_MS))
    const nowMs = this.#clock.monotonicMs()
    const isNeeded = [...this.#entries.values()].some(({ retainAtMs }) => retainAtMs <= nowMs)
    if (!this.#survey.isDue(intervalMs, isNeeded)) return
    await this.#lookThrough((signal) => this.#surveys.all(this.#look, signal))
  }

  /** Says of each database when all of them cannot be listed. */
  async #lookThrough(run: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { signal: stopping } = this.#stopping
    try {
      await run(stopping)
      this.#surveyFailure = undefined
      for (const { failures } of this.#entries.values()) failures.delete('listing')
    } catch (error) {
      if (stopping.aborted) return
      const reason = failureReason(error)
      for (const { failures } of this.#entries.values()) failures.set('listing', reason)
      if (reason !== this.#surveyFailure)
        this.#logger.error({ err: error }, 'the backup cannot be listed; it is retried')
      this.#surveyFailure = reason
    }
  }

  /** All that needs a listing of the database. */
  readonly #look: Look = async (name, load) => {
    const entry = this.#entries.get(name)
    let isRestorable = false
    if (entry === undefined) return isRestorable
    let found: SurveyedDatabase | undefined
    await this.#attempt(name, entry, 'check', async (signal) => {
      found = await load()
      isRestorable = await entry.target.check(found, signal)
    })
    // Nothing is deleted by a listing that names what is gone since.
    if (isRestorable && this.#periodic && this.#survey.isSparing) await this.#retain(name, entry, found)
    return isRestorable
  }

  #retain(name: string, entry: Entry, listed?: SurveyedDatabase): Promise<void> {
    if (entry.retainAtMs > this.#clock.monotonicMs()) return Promise.resolve()
    return this.#attempt(name, entry, 'retention', async (signal) => {
      entry.retainAtMs = Infinity
      try {
        const nextMs = await entry.target.retain(this.#schedule.retention, signal, listed)
        this.#retainIn(entry, nextMs - this.#clock.now())
      } catch (error) {
        entry.retainAtMs = 0
        throw error
      }
    })
  }

  #retainIn(entry: Entry, ms: number): void {
    entry.retainAtMs = Math.min(entry.retainAtMs, this.#clock.monotonicMs() + ms)
  }

  /** A failed task waits for the next boundary. Each new reason is logged once. */
  async #attempt(name: string, entry: Entry, task: string, run: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { signal } = this.#stopping
    if (signal.aborted) return
    const startedMs = this.#clock.monotonicMs()
    try {
      await run(signal)
      if (entry.failures.delete(task)) this.#logger.info({ database: name, task }, 'backup maintenance works again')
      this.#logger.debug({ database: name, task, tookMs: this.#clock.monotonicMs() - startedMs }, 'backup maintenance')
    } catch (error) {
      if (signal.aborted) return
      const reason = failureReason(error)
      if (entry.failures.get(task) !== reason) {
        this.#logger.error({ database: name, task, err: error }, 'backup maintenance failed; it is retried')
      }
      entry.failures.set(task, reason)
    }
  }

  async #sleep(ms: number, stopping: AbortSignal): Promise<void> {
    const woken = AbortSignal.any([stopping, this.#wake.signal])
    if (ms > 0) await this.#clock.sleep(ms, woken).catch(() => undefined)
    if (this.#wake.signal.aborted) this.#wake = new AbortController()
  }
}
