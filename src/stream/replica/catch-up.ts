import type { Lane } from './lane.ts'

/** Waits, after the primary has sent everything, until the sink has applied it. */
export class CatchUp {
  readonly #waiting: Map<Lane, number>

  constructor(lanes: Iterable<Lane>) {
    // What is still arriving is newer than what the primary had when the stream began.
    this.#waiting = new Map([...lanes].map((lane) => [lane, lane.received - (lane.receiving ? 1 : 0)]))
  }

  /** Whether every lane has caught up. A lane that wants a restart must receive it first. */
  reached(): boolean {
    for (const [lane, received] of this.#waiting) {
      if (lane.wanted !== undefined) this.#waiting.set(lane, lane.awaited)
      else if (lane.done >= received) this.#waiting.delete(lane)
    }
    return this.#waiting.size === 0
  }
}
