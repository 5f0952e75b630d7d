import { nowMs as monotonicMs } from './monotonic.ts'

const EVERY_MS = 60_000
const MAX_KEYS = 1_000

/** What fails at every attempt, and is logged once a minute. */
export class Repeated {
  readonly #nowMs: () => number
  readonly #loggedAtMs = new Map<string, number>()

  constructor(nowMs: () => number = monotonicMs) {
    this.#nowMs = nowMs
  }

  /** Whether to log now what the key names. */
  isDue(...key: readonly string[]): boolean {
    const now = this.#nowMs()
    const name = JSON.stringify(key)
    const before = this.#loggedAtMs.get(name)
    // A clock that was set back must not silence a failure.
    if (before !== undefined && now >= before && now - before < EVERY_MS) return false
    if (this.#loggedAtMs.size >= MAX_KEYS) this.#loggedAtMs.clear()
    this.#loggedAtMs.set(name, now)
    return true
  }
}
