import { LogUnsyncedError } from './errors.ts'

/** Pauses between attempts. */
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5_000

/** Why a log accepts nothing, and when the next attempt to change that is due. */
export class Breakage {
  readonly #dir: string
  readonly #changed: (error: Error | undefined) => void
  readonly #monotonicMs: () => number
  #pauseMs = FIRST_PAUSE_MS
  #retryAtMs = -Infinity
  error: Error | undefined

  /** `changed` is called with the reason when it begins, and with undefined when it ends. */
  constructor(
    dir: string,
    changed: (error: Error | undefined) => void = () => undefined,
    monotonicMs: () => number = () => performance.now(),
  ) {
    this.#dir = dir
    this.#changed = changed
    this.#monotonicMs = monotonicMs
  }

  /** From now on nothing is accepted. The first attempt to change that is due at once. */
  begin(error: Error): Error {
    this.error = error
    this.#pauseMs = FIRST_PAUSE_MS
    this.#retryAtMs = -Infinity
    this.#changed(error)
    return error
  }

  /** Ends it by `mend`, if an attempt is due. Throws the reason while it lasts. */
  end(mend: () => void): void {
    const nowMs = this.#monotonicMs()
    if (this.error !== undefined && nowMs < this.#retryAtMs) throw this.error
    try {
      mend()
      this.forget()
    } catch (error) {
      this.#retryAtMs = nowMs + this.#pauseMs
      this.#pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * this.#pauseMs)
      throw (this.error = new LogUnsyncedError(this.#dir, error))
    }
  }

  /** The log is whole, or nobody writes to it any more. */
  forget(): void {
    if (this.error === undefined) return
    this.error = undefined
    this.#changed(undefined)
  }
}
