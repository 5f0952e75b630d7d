import { HandoffError } from './errors.ts'
import type { Event } from './role/role-events.ts'
import type { State } from './role/role-state.ts'

/** A handoff that somebody asked for: decided by what the node's role then becomes. */
export class Handoff {
  readonly to: string
  /** Resolves when `to` has the lease and is followed. Throws HandoffError. */
  readonly decided: Promise<void>
  readonly #ttlMs: number
  #resolve: () => void = () => {}
  #reject: (error: HandoffError) => void = () => {}
  #timer: NodeJS.Timeout | undefined
  #drainFailure: string | undefined

  constructor(to: string, ttlMs: number) {
    this.to = to
    this.#ttlMs = ttlMs
    this.decided = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  drainFailed(reason: string): void {
    this.#drainFailure = reason
  }

  /** `state` is what `event` led to. */
  see(state: State, event: Event): void {
    if (state.name === 'stopped') return this.#fail('this node has stopped')
    if (state.name === 'acquiring') return this.#fail('this node takes the lease again')
    if (state.name === 'leading' && event.type === 'drained' && state.phase === 'serving') {
      return this.#fail(this.#drainFailure ?? 'that node did not catch up in time; this node is still the primary')
    }
    if (state.name === 'yielding' && state.release?.successor !== this.to) return this.#fail('this node lost the lease')
    if (event.type === 'released') {
      if (event.view === undefined) return this.#fail('the release could not be written')
      // From then on anybody may take it.
      this.#timer = setTimeout(() => this.#fail('that node did not take it in time'), this.#ttlMs)
    }
    if (state.name !== 'standing-by' || state.told?.kind !== 'follow') return
    const { primary } = state.told
    if (primary.nodeId !== this.to) return this.#fail(`${primary.hostname} took it`)
    clearTimeout(this.#timer)
    this.#resolve()
  }

  #fail(reason: string): void {
    clearTimeout(this.#timer)
    this.#reject(new HandoffError('HANDOFF_FAILED', `the lease was not passed to ${this.to}: ${reason}`))
  }
}
