import type { Lane } from './lane.ts'

/** From the primary's word that everything has been sent, until the sink has all of it. */
export class CatchUp {
  readonly #waiting: Map<Lane, number>

  constructor(lanes: Iterable<Lane>) {
    this.#waiting = new Map([...lanes].map((lane) => [lane, lane.received]))
  }

  /** Whether nothing is waited for any more. A database that began anew has to come first. */
  reached(): boolean {
    for (const [lane, received] of this.#waiting) {
      if (lane.wanted !== undefined) this.#waiting.set(lane, lane.awaited)
      else if (lane.done >= received) this.#waiting.delete(lane)
    }
    return this.#waiting.size === 0
  }
}
