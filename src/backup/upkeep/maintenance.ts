import type { BackupLogger, Clock } from '../../util/clock.ts'
import { failureReason } from '../history/failure.ts'
import { type BackupSchedule, nextBoundary, type RetentionPolicy } from '../history/levels.ts'

/** The maintenance of one database's backup. */
export interface Maintained {
  compact(level: number, signal: AbortSignal): Promise<CompactionOutcome>
  snapshot(signal: AbortSignal): Promise<void>
  /** Returns when there will be more to delete if nothing is added. */
  retain(policy: RetentionPolicy, signal: AbortSignal): Promise<number>
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

/** Longer timeouts overflow a timer. */
const MAX_SLEEP_MS = 24 * 3_600_000

/**
 * Compaction, snapshots and retention of all databases, one at a time, at their boundaries. A database without new
 * uploads costs nothing.
 */
export class Maintenance {
  readonly #schedule: BackupSchedule
  readonly #clock: Clock
  readonly #logger: BackupLogger
  readonly #periodic: boolean
  readonly #entries = new Map<string, Entry>()
  readonly #stopping = new AbortController()
  #wake = new AbortController()
  #loop: Promise<void> | undefined

  /** Without `periodic`, only requested snapshots are made. */
  constructor(schedule: BackupSchedule, clock: Clock, logger: BackupLogger, periodic = true) {
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
    const tasks = this.#periodic ? this.#tasks() : []
    while (!signal.aborted) {
      const nowMs = this.#clock.monotonicMs()
      const wakeMs = Math.min(nowMs + MAX_SLEEP_MS, ...tasks.map(({ dueMs }) => dueMs)) - nowMs
      await this.#sleep(wakeMs, signal)
      for (const [name, entry] of this.#entries) if (entry.snapshotRequested) await this.#snapshot(name, entry)
      for (const task of tasks) {
        if (signal.aborted || task.dueMs > this.#clock.monotonicMs()) continue
        for (const [name, entry] of this.#entries) await task.run(name, entry)
        task.dueMs = this.#nextDueMs(task.intervalMs)
      }
    }
  }

  /** In the order in which they run at a common boundary: each level is made before the next level uses it. */
  #tasks(): { readonly intervalMs: number; dueMs: number; run(name: string, entry: Entry): Promise<void> }[] {
    const { levels, snapshotIntervalMs, retentionCheckIntervalMs } = this.#schedule
    const every = (intervalMs: number, run: (name: string, entry: Entry) => Promise<void>) => {
      return { intervalMs, dueMs: this.#nextDueMs(intervalMs), run }
    }
    return [
      ...levels.map(({ level, intervalMs }) => every(intervalMs, (name, entry) => this.#compact(name, entry, level))),
      every(snapshotIntervalMs, (name, entry) => this.#snapshot(name, entry)),
      every(retentionCheckIntervalMs, (name, entry) => this.#retain(name, entry)),
    ]
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

  #retain(name: string, entry: Entry): Promise<void> {
    if (entry.retainAtMs > this.#clock.monotonicMs()) return Promise.resolve()
    return this.#attempt(name, entry, 'retention', async (signal) => {
      entry.retainAtMs = Infinity
      try {
        const nextMs = await entry.target.retain(this.#schedule.retention, signal)
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
