const FIRST_DELAY_MS = 100
const MAX_DELAY_MS = 300_000
/** After this long without a failure, restarts not counted, the next one counts as the first again. */
const FORGET_MS = 60_000

/** The growing delay between restarts of a database that fails each time, which must not keep both nodes busy. */
export class FailureDelay {
  #failures = 0
  /** When the last restart was due. */
  #restartedAtMs = -Infinity

  /** Records a failure. Returns how long to wait before the restart: 0 after the first failure. */
  nextMs(): number {
    const now = performance.now()
    if (now - this.#restartedAtMs > FORGET_MS) this.#failures = 0
    const delayMs = this.#failures === 0 ? 0 : Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (this.#failures - 1))
    this.#failures++
    this.#restartedAtMs = now + delayMs
    return delayMs
  }
}
