import { LogUnsyncedError } from './errors.ts'

/** Pauses between attempts. */
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5_000

/** Why a log accepts nothing, and when the next attempt to change that is due. */
export class Breakage {
  readonly #dir: string
  readonly #monotonicMs: () => number
  #pauseMs = FIRST_PAUSE_MS
  #retryAtMs = -Infinity
  error: Error | undefined

  constructor(dir: string, monotonicMs: () => number = () => performance.now()) {
    this.#dir = dir
    this.#monotonicMs = monotonicMs
  }

  /** From now on nothing is accepted. The first attempt to change that is due at once. */
  begin(error: Error): Error {
    this.error = error
    this.#pauseMs = FIRST_PAUSE_MS
    this.#retryAtMs = -Infinity
    return error
  }

  /** Ends it by `mend`, if an attempt is due. Throws the reason while it lasts. */
  end(mend: () => void): void {
    const nowMs = this.#monotonicMs()
    if (this.error !== undefined && nowMs < this.#retryAtMs) throw this.error
    try {
      mend()
      this.error = undefined
    } catch (error) {
      this.#retryAtMs = nowMs + this.#pauseMs
      this.#pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * this.#pauseMs)
      throw (this.error = new LogUnsyncedError(this.#dir, error))
    }
  }
}
