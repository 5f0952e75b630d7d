import type { Position, TXID } from '../../ltx/format/types.ts'

/** How often the lag of the replicas is measured. */
export const PACE_MS = 50
/** Commits of one database are never further apart because of the replicas. */
const MAX_INTERVAL_MS = 1_000
/** A replica that has acknowledged nothing of a database for so long does not slow it down any more. */
const STUCK_MS = 10_000
/** Over how long the speed of a replica is measured. */
const WINDOW_MS = 1_000
const MAX_MARKS = 512

/** What a replica has acknowledged of a database. */
export interface Acknowledger {
  readonly sent: { readonly acknowledged: Position | undefined }
}

/** A connected replica. */
export interface Follower {
  readonly name: string
  feed(database: string): Acknowledger | undefined
}

/** How fast a database may commit. 0: as fast as it can. */
export interface Paced {
  readonly database: string
  readonly intervalMs: number
  /** The replica that lags most. */
  readonly replica: string
  readonly lagMs: number
}

interface Mark {
  readonly atMs: number
  readonly txid: TXID
}

/** One replica on its way through one database, since it last had everything. */
interface Course {
  readonly acknowledged: Mark[]
  movedAtMs: number
}

/**
 * Keeps the replicas from lagging by more than `stream.max-lag`: from half of that on, a database commits not much
 * faster than its slowest replica applies, and beyond it half as fast. The lag is what the next transaction will have,
 * by the speed of the replica: once the old ones lag, the new ones have committed. Measured with this node's clock.
 */
export class Pace {
  readonly #maxLagMs: number
  readonly #stuckMs: number
  readonly #changed: (paced: Paced) => void
  /** When each database was first seen at its recent positions, oldest first. */
  readonly #marks = new Map<string, Mark[]>()
  readonly #intervalsMs = new Map<string, number>()
  readonly #courses = new WeakMap<Acknowledger, Course>()

  constructor(maxLagMs: number, changed: (paced: Paced) => void, stuckMs = STUCK_MS) {
    this.#maxLagMs = maxLagMs
    this.#changed = changed
    this.#stuckMs = stuckMs
  }

  /** The interval between commits of each database that is slowed down. */
  get intervalsMs(): ReadonlyMap<string, number> {
    return this.#intervalsMs
  }

  /** To be called each PACE_MS. Returns whether a replica lacks anything. */
  measure(positions: ReadonlyMap<string, Position>, followers: readonly Follower[], nowMs: number): boolean {
    let isBehind = false
    for (const [database, { txid }] of positions) {
      const marks = this.#mark(database, txid, nowMs)
      let slowest: Paced = { database, intervalMs: 0, replica: '', lagMs: 0 }
      for (const follower of followers) {
        const feed = follower.feed(database)
        const course = feed && this.#course(feed, txid, nowMs)
        if (course === undefined) continue
        isBehind = true
        const lagMs = this.#lagMs(course, txid, marks, nowMs)
        const intervalMs = this.#intervalMs(course, lagMs, nowMs)
        if (intervalMs > slowest.intervalMs) slowest = { database, intervalMs, replica: follower.name, lagMs }
      }
      this.#set(slowest)
    }
    for (const database of this.#marks.keys()) if (!positions.has(database)) this.#forget(database)
    return isBehind
  }

  /** Nothing is slowed down any more. */
  end(): void {
    for (const database of this.#marks.keys()) this.#forget(database)
  }

  #forget(database: string): void {
    this.#marks.delete(database)
    this.#set({ database, intervalMs: 0, replica: '', lagMs: 0 })
  }

  #set(paced: Paced): void {
    const { database, intervalMs } = paced
    const before = this.#intervalsMs.get(database) ?? 0
    if (intervalMs === 0) this.#intervalsMs.delete(database)
    else this.#intervalsMs.set(database, intervalMs)
    if (intervalMs !== before) this.#changed(paced)
  }

  #mark(database: string, txid: TXID, atMs: number): readonly Mark[] {
    let marks = this.#marks.get(database) ?? []
    const last = marks.at(-1)
    if (last?.txid === txid) return marks
    // A database that was made anew, or restored, has no past.
    if (last !== undefined && last.txid > txid) marks = []
    // Every other one is exact enough for a lag of that length.
    if (marks.length >= MAX_MARKS) marks = marks.filter((_, i) => i % 2 === 0)
    marks.push({ txid, atMs })
    this.#marks.set(database, marks)
    return marks
  }

  /** undefined for a replica that has everything, or gets a snapshot. */
  #course(feed: Acknowledger, committed: TXID, atMs: number): Course | undefined {
    const txid = feed.sent.acknowledged?.txid
    if (txid === undefined || txid >= committed) {
      this.#courses.delete(feed)
      return undefined
    }
    const course = this.#courses.get(feed) ?? { acknowledged: [], movedAtMs: atMs }
    this.#courses.set(feed, course)
    const { acknowledged } = course
    if (acknowledged.at(-1)?.txid !== txid) course.movedAtMs = atMs
    acknowledged.push({ txid, atMs })
    while (acknowledged.length > 2 && atMs - (acknowledged[1] as Mark).atMs >= WINDOW_MS) acknowledged.shift()
    return course
  }

  #lagMs(course: Course, committed: TXID, marks: readonly Mark[], nowMs: number): number {
    const { txid } = course.acknowledged.at(-1)
    const oldest = marks.find((mark) => mark.txid > txid)
    const lagMs = oldest === undefined ? 0 : nowMs - oldest.atMs
    // A short pause of the replica says nothing about its speed.
    if (lagMs < this.#maxLagMs / 10) return lagMs
    return Math.max(lagMs, Number(committed - txid) * (eachMs(course) ?? 0))
  }

  #intervalMs(course: Course, lagMs: number, nowMs: number): number {
    const share = lagMs / this.#maxLagMs
    const pausedMs = nowMs - course.movedAtMs
    if (share <= 0.5 || pausedMs > this.#stuckMs) return 0
    // 1.5 times as fast as the replica at half of the allowed lag, as fast at three quarters.
    const factor = Math.max(0.5, 2.5 - 2 * share)
    return Math.min(MAX_INTERVAL_MS, (eachMs(course) ?? pausedMs) / factor)
  }
}

/** How long the replica takes for a transaction; undefined where none was seen. */
function eachMs({ acknowledged }: Course): number | undefined {
  const [first, last] = [acknowledged[0] as Mark, acknowledged.at(-1)]
  const count = Number(last.txid - first.txid)
  return count === 0 ? undefined : (last.atMs - first.atMs) / count
}
