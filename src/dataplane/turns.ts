import type { CaptureEvents } from '../capture/events.ts'
import type { CaptureVolume } from '../capture/volume.ts'
import { errnoOf } from '../fuse/errno.ts'
import { errorMessage } from '../util/errors.ts'
import { nowMs } from '../util/monotonic.ts'
import type { FromDataPlane } from './messages.ts'
import type { SharedState } from './shared-state.ts'
import type { Slots } from './slots.ts'

/** How long what is to be done later waits at least. */
export const LATER_MS = 700
/** How long a turn may spend on releasing databases. */
const RELEASE_MS = 20

interface Waiting {
  readonly dueMs: number
  readonly act: () => void
}

/**
 * What the data plane's thread does between two requests, because it has no timers: it asks the control plane for a
 * turn, and does in it whatever has waited long enough. A turn comes for several reasons, and so also early.
 */
export class Turns {
  readonly #state: SharedState
  readonly #slots: Slots
  readonly #events: Pick<CaptureEvents, 'log'>
  readonly #say: (message: FromDataPlane) => void
  readonly #nowMs: () => number
  /** In the order of their times. */
  readonly #waiting: Waiting[] = []
  /** Absent until the thread serves. */
  volume: CaptureVolume | undefined

  constructor(
    state: SharedState,
    slots: Slots,
    events: Pick<CaptureEvents, 'log'>,
    say: (message: FromDataPlane) => void,
    now: () => number = nowMs,
  ) {
    this.#state = state
    this.#slots = slots
    this.#events = events
    this.#say = say
    this.#nowMs = now
  }

  /** Has `act` done in about a second, and never earlier because something else waits already. */
  later(act: () => void): void {
    if (this.#waiting.push({ dueMs: this.#nowMs() + LATER_MS, act }) === 1) this.#say({ type: 'later', inMs: LATER_MS })
  }

  /** The log of a database rejects everything; it is mended even if nobody commits. */
  logFailed(database: string): void {
    this.later(() => {
      if (this.volume?.find(database)?.mendLog() === false) this.logFailed(database)
    })
  }

  take(): void {
    if (this.#state.takeReleases()) this.#try(() => this.#release())
    if (this.#state.takeSyncFailed()) this.#try(() => this.#findFailedLogs())
    const now = this.#nowMs()
    const early = this.#waiting.findIndex(({ dueMs }) => dueMs > now)
    const due = this.#waiting.splice(0, early < 0 ? this.#waiting.length : early)
    const next = this.#waiting[0]
    if (next !== undefined) this.#say({ type: 'later', inMs: next.dueMs - now })
    for (const { act } of due) this.#try(act)
  }

  #try(act: () => void): void {
    try {
      act()
    } catch (error) {
      // As for a request: only a broken invariant ends the session.
      if (errnoOf(error) === undefined) throw error
      this.#events.log('error', `what had waited failed: ${errorMessage(error)}`, {})
    }
  }

  /** For a moment only: requests wait meanwhile. */
  #release(): void {
    const until = nowMs() + RELEASE_MS
    for (const [name, txid] of this.#slots.releasable()) {
      if (nowMs() < until) {
        this.volume?.release(name, txid)
        continue
      }
      this.#state.keepReleases()
      return this.#say({ type: 'later', inMs: LATER_MS })
    }
  }

  /** A log learns of a failed fsync on another thread when it is used next, which may be never. */
  #findFailedLogs(): void {
    for (const database of this.volume?.list() ?? []) database.mendLog()
  }
}
