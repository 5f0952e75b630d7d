/** Longer than the interval of heartbeats. */
export const SILENT_MS = 2_000

/**
 * How far a replica is behind its primary. While the primary is silent, and while a transaction waits to be applied, it
 * grows with the clock.
 */
export class Lag {
  readonly #nowMs: () => number
  #heard: { readonly lagMs: number; readonly atMs: number } | undefined
  /** How long the oldest received transaction has waited to be applied. */
  unappliedMs = 0

  /** `nowMs` is a monotonic clock. */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs
  }

  /** The primary is alive. `lagMs`: the age of its newest transaction when that arrived; 0 once nothing is to come. */
  heard(lagMs: number): void {
    this.#heard = { lagMs, atMs: this.#nowMs() }
  }

  /** undefined while nothing has been heard. */
  get silentMs(): number | undefined {
    return this.#heard && this.#nowMs() - this.#heard.atMs
  }

  /** undefined while nothing has been heard. */
  get ms(): number | undefined {
    if (this.#heard === undefined) return undefined
    const { lagMs, atMs } = this.#heard
    const silentMs = this.#nowMs() - atMs
    return Math.max(silentMs > SILENT_MS ? lagMs + silentMs : lagMs, this.unappliedMs)
  }
}
