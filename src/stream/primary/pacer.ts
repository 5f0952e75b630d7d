import type { Position } from '../../ltx/format/types.ts'
import type { Logger } from '../../util/log.ts'
import { type Follower, Pace, PACE_MS, type Paced } from './pace.ts'

const REPORT_MS = 60_000

/** What is measured. */
export interface Followed {
  /** Grows with each publication. */
  readonly changes: number
  positions(): ReadonlyMap<string, Position>
  readonly followers: readonly Follower[]
}

export interface PacerOptions {
  readonly maxLagMs: number
  readonly stuckMs: number | undefined
  readonly pace: (database: string, intervalMs: number) => void
  readonly logger: Logger
}

/** Measures while replicas are connected, paces the commits, and says so. */
export class Pacer {
  readonly #options: PacerOptions
  readonly #pace: Pace
  /** When each database was last reported. */
  readonly #reportedAtMs = new Map<string, number>()
  /** Databases that were reported since they were slowed down last. */
  readonly #reported = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #seen = -1

  constructor(options: PacerOptions) {
    this.#options = options
    this.#pace = new Pace(options.maxLagMs, (paced) => this.#changed(paced), options.stuckMs)
  }

  get intervalsMs(): ReadonlyMap<string, number> {
    return this.#pace.intervalsMs
  }

  start(followed: () => Followed): void {
    this.#timer = setInterval(() => this.#measure(followed()), PACE_MS)
    this.#timer.unref()
  }

  /** Nothing is slowed down any more. */
  stop(): void {
    clearInterval(this.#timer)
    this.#seen = -1
    this.#pace.end()
  }

  #measure(followed: Followed): void {
    const { changes, followers } = followed
    if (changes === this.#seen) return
    const isBehind = this.#pace.measure(followed.positions(), followers, performance.now())
    this.#seen = isBehind ? -1 : changes
  }

  #changed({ database, intervalMs, replica, lagMs }: Paced): void {
    const { pace, logger, maxLagMs } = this.#options
    pace(database, intervalMs)
    if (intervalMs === 0) {
      if (this.#reported.delete(database)) logger.info({ database }, 'commits are not slowed down any more')
      return
    }
    const nowMs = performance.now()
    if (nowMs - (this.#reportedAtMs.get(database) ?? -Infinity) < REPORT_MS) return
    this.#reportedAtMs.set(database, nowMs)
    this.#reported.add(database)
    const fields = { database, replica, lagMs: Math.round(lagMs), maxLagMs, intervalMs: Math.ceil(intervalMs) }
    logger.warn(fields, 'a replica lags: commits are slowed down (stream.max-lag)')
  }
}
