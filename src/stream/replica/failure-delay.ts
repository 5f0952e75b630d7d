const FIRST_DELAY_MS = 100
const MAX_DELAY_MS = 30_000
/** After this long without a failure, the next one counts as the first again. */
const FORGET_MS = 60_000

/** The growing delay between restarts of a database that fails each time, which must not keep both nodes busy. */
export class FailureDelay {
  #failures = 0
  #failedAtMs = -Infinity

  /** Records a failure. Returns how long to wait before the restart: 0 after the first failure. */
  nextMs(): number {
    const now = performance.now()
    if (now - this.#failedAtMs > FORGET_MS) this.#failures = 0
    this.#failedAtMs = now
    const delayMs = this.#failures === 0 ? 0 : Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (this.#failures - 1))
    this.#failures++
    return delayMs
  }
}
