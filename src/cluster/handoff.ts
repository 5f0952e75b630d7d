import { HandoffError } from './errors.ts'
import type { Event } from './role/role-events.ts'
import type { State } from './role/role-state.ts'

/** A requested handoff. The subsequent states of the node's role decide its outcome. */
export class Handoff {
  readonly to: string
  /** Resolves when `to` holds the lease and this node follows it. Rejects with HandoffError. */
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

  /** `state` is the state after `event`. */
  observe(state: State, event: Event): void {
    if (state.name === 'stopped') return this.#fail('this node has stopped')
    if (state.name === 'acquiring') return this.#fail('this node acquires the lease again')
    if (state.name === 'leading' && event.type === 'drained' && state.phase === 'serving') {
      return this.#fail(
        this.#drainFailure ?? 'that replica did not catch up in time, so this node is still the primary',
      )
    }
    if (state.name === 'yielding' && state.release?.successor !== this.to) return this.#fail('this node lost the lease')
    if (event.type === 'stepped-down' && !event.clean) return this.#fail('this node could not step down')
    if (event.type === 'released') {
      if (event.view === undefined) return this.#fail('the release could not be written')
      // After a TTL any candidate may acquire the lease.
      this.#timer = setTimeout(() => this.#fail('that node did not acquire the lease in time'), this.#ttlMs)
    }
    if (state.name !== 'standing-by' || state.assigned?.kind !== 'follow') return
    const { primary } = state.assigned
    if (primary.nodeId !== this.to) return this.#fail(`${primary.hostname} acquired it`)
    clearTimeout(this.#timer)
    this.#resolve()
  }

  #fail(reason: string): void {
    clearTimeout(this.#timer)
    this.#reject(new HandoffError('HANDOFF_FAILED', `the handoff to ${this.to} failed: ${reason}`))
  }
}
