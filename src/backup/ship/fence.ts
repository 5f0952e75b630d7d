import { setMaxListeners } from 'node:events'
import type { Clock } from '../../util/clock.ts'
import { LtxdError } from '../../util/errors.ts'

/** By this node's clock, the lease under which it writes to the backup has expired. */
export class LeaseEndedError extends LtxdError {
  constructor(term: bigint) {
    super(
      'LEASE_ENDED',
      `the lease of term ${term} was not renewed in time: this node writes nothing more to the backup under it. ` +
        'Uploads continue once it is renewed; otherwise the next leader ships the rest',
    )
  }
}

export interface FenceOptions {
  /** The lease's term; 0 without a lease. */
  readonly term: bigint
  /** The lease's deadline on the monotonic clock, read at each use; Infinity without a lease. */
  readonly mayWriteUntilMs: () => number
  /** On the monotonic clock: until then the previous holder's uploads may still arrive. */
  readonly notBeforeMs: number
  readonly clock: Clock
}

/** When this node may write to the backup: once its predecessor no longer can, and until its own lease's deadline. */
export class Fence {
  readonly term: bigint
  readonly #options: FenceOptions

  constructor(options: FenceOptions) {
    this.term = options.term
    this.#options = options
  }

  /** Whether writes happen under a lease. */
  get isLeased(): boolean {
    return this.term > 0n
  }

  /** Throws LeaseEndedError. */
  assertOpen(): void {
    const { mayWriteUntilMs, notBeforeMs, clock } = this.#options
    const nowMs = clock.monotonicMs()
    if (nowMs >= mayWriteUntilMs()) throw new LeaseEndedError(this.term)
    if (nowMs < notBeforeMs)
      throw new Error('a write to the backup began while the previous holder’s uploads may still arrive')
  }

  /**
   * Waits until writing is allowed, then runs `work`. The signal that `work` receives is aborted at the deadline, or
   * with `signal`. Rejects with LeaseEndedError, or with the signal's reason.
   */
  async run<T>(signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { notBeforeMs, clock } = this.#options
    // Timers can fire slightly early.
    for (let waitMs; (waitMs = notBeforeMs - clock.monotonicMs()) > 0;) await clock.sleep(Math.ceil(waitMs), signal)
    this.assertOpen()
    const ended = new AbortController()
    // Many requests at once listen.
    setMaxListeners(0, ended.signal)
    const done = new AbortController()
    const forward = () => ended.abort(signal.reason)
    if (signal.aborted) forward()
    else signal.addEventListener('abort', forward, { once: true })
    const watch = this.#watch(ended, done.signal)
    try {
      return await work(ended.signal)
    } finally {
      signal.removeEventListener('abort', forward)
      done.abort()
      await watch
    }
  }

  /** Follows the deadline, which moves with each renewal. */
  async #watch(ended: AbortController, done: AbortSignal): Promise<void> {
    const { mayWriteUntilMs, clock } = this.#options
    while (!done.aborted && !ended.signal.aborted) {
      const leftMs = mayWriteUntilMs() - clock.monotonicMs()
      if (leftMs === Infinity) return
      if (leftMs <= 0) ended.abort(new LeaseEndedError(this.term))
      else await clock.sleep(Math.min(leftMs, MAX_SLEEP_MS), done).catch(() => undefined)
    }
  }
}

/** Longer timeouts overflow a timer. */
const MAX_SLEEP_MS = 24 * 3_600_000
