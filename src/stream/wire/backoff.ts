import { setTimeout as sleep } from 'node:timers/promises'

/**
 * The delays between attempts: from a quarter of the given time, doubling up to eight times it. Each is shortened at
 * random by up to a half.
 */
export class Backoff {
  readonly #aroundMs: number
  readonly #random: () => number
  #attempts = 0

  constructor(aroundMs: number, random: () => number = Math.random) {
    this.#aroundMs = aroundMs
    this.#random = random
  }

  reset(): void {
    this.#attempts = 0
  }

  nextMs(): number {
    const fullMs = this.#aroundMs * Math.min(8, 2 ** (this.#attempts - 2))
    this.#attempts++
    return fullMs * (1 - this.#random() / 2)
  }

  /** Resolves early when `signal` is aborted. */
  async wait(signal: AbortSignal): Promise<void> {
    await sleep(this.nextMs(), undefined, { signal }).catch(() => undefined)
  }
}
