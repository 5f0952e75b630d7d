import { asError } from '../util/errors.ts'
import type { Steps } from './steps.ts'

/** Writes that may fail half-way. After such an error nothing is done until the next start recovers the database. */
export class Breakable {
  #reason: Error | undefined

  get isWhole(): boolean {
    return this.#reason === undefined
  }

  /** Throws the reason. */
  assertWhole(): void {
    if (this.#reason !== undefined) throw this.#reason
  }

  /** The first reason counts. */
  break(reason: Error): void {
    this.#reason ??= reason
  }

  run<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      this.#reason = asError(error)
      throw error
    }
  }

  *steps<T>(steps: Steps<T>): Steps<T> {
    try {
      return yield* steps
    } catch (error) {
      this.#reason = asError(error)
      throw error
    }
  }
}
