import type { Clock } from '../../util/clock.ts'
import { LtxdError } from '../../util/errors.ts'

/** The lease under which this node writes to the backup has run out, as far as it knows. */
export class LeaseEndedError extends LtxdError {
  constructor(term: bigint) {
    super(
      'LEASE_ENDED',
      `the lease of term ${term} has not been renewed in time: this node writes nothing more to the backup under it. ` +
        'Uploads go on when it is renewed; else the next leader makes them',
    )
  }
}

export interface FenceOptions {
  /** Of the lease; 0 without one. */
  readonly term: bigint
  /** The lease's deadline on the monotonic clock, read anew at each use; Infinity when it has none. */
  readonly mayWriteUntilMs: () => number
  /** On the monotonic clock: the previous holder's uploads may run until then. */
  readonly notBeforeMs: number
  readonly clock: Clock
}

/** When this node may write to the backup: from when its predecessor cannot any more, until the deadline of its own lease. */
export class Fence {
  readonly term: bigint
  readonly #options: FenceOptions

  constructor(options: FenceOptions) {
    this.term = options.term
    this.#options = options
  }

  /** Whether it writes under a lease at all. */
  get isLeased(): boolean {
    return this.term > 0n
  }

  /** Throws LeaseEndedError. */
  assertOpen(): void {
    const { mayWriteUntilMs, notBeforeMs, clock } = this.#options
    const nowMs = clock.monotonicMs()
    if (nowMs >= mayWriteUntilMs()) throw new LeaseEndedError(this.term)
    if (nowMs < notBeforeMs) throw new Error('a write to the backup while the previous holder’s may still arrive')
  }

  /**
   * Waits until it may begin, then works until the deadline: the signal that `work` gets is aborted there, or with
   * `signal`. Rejects with LeaseEndedError, or with the signal's reason.
   */
  async run<T>(signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { notBeforeMs, clock } = this.#options
    // Timers may fire a little early.
    for (let waitMs; (waitMs = notBeforeMs - clock.monotonicMs()) > 0;) await clock.sleep(Math.ceil(waitMs), signal)
    this.assertOpen()
    const ended = new AbortController()
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

  /** Follows the deadline, which moves on with each renewal. */
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

/** Longer than this a timer cannot be set. */
const MAX_SLEEP_MS = 24 * 3_600_000
