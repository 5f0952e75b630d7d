import type { Clock } from '../../util/clock.ts'

/** How far a backup is behind. On the monotonic clock: a wall clock that jumps makes no backup look better. */
export class BackupLag {
  readonly #clock: Clock
  /** Everything committed before this time is in the backup. */
  #caughtUpAtMs: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#caughtUpAtMs = clock.monotonicMs()
  }

  /** An upper bound: no transaction older than this is missing from the backup. */
  get ms(): number {
    return Math.max(0, this.#clock.monotonicMs() - this.#caughtUpAtMs)
  }

  /** Everything that was committed before `atMs` is in the backup, on the monotonic clock. */
  caughtUp(atMs: number): void {
    this.#caughtUpAtMs = atMs
  }

  /** A transaction that was committed at `committedMs`, on the wall clock, is not in the backup. */
  missing(committedMs: number): void {
    const ageMs = Math.max(0, this.#clock.now() - committedMs)
    this.#caughtUpAtMs = Math.min(this.#caughtUpAtMs, this.#clock.monotonicMs() - ageMs)
  }
}
