import { StreamProtocolError } from './errors.ts'

/** What a primary sends of each database at the start of a stream: at most a few messages that take no credit. */
const MESSAGES_EACH = 4
const PER_SECOND = 1_000

/** Bounds the messages of a connection that take no room of its windows, so that no peer sends them without end. */
export class FreeMessages {
  readonly #most: number
  #left: number
  #atMs = performance.now()

  constructor(maxNames: number) {
    this.#most = MESSAGES_EACH * maxNames
    this.#left = this.#most
  }

  /** Throws StreamProtocolError when there are too many. */
  take(count = 1): void {
    const nowMs = performance.now()
    this.#left = Math.min(this.#most, this.#left + ((nowMs - this.#atMs) / 1_000) * PER_SECOND) - count
    this.#atMs = nowMs
    if (this.#left < 0) throw new StreamProtocolError(`more messages without content came than ${this.#most} at a time`)
  }
}
