import { setTimeout as delay } from 'node:timers/promises'
import pLimit from 'p-limit'
import { gatherTakeOverFacts, planTakeOver } from '../backup/ship/take-over.ts'
import type { LogView } from '../log/view.ts'
import type { ObjectStore } from '../objectstore/objectstore.ts'
import type { Logger } from '../util/log.ts'
import type { TakenOver } from './taken-over.ts'

const AT_ONCE = 8
const FIRST_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 30_000

export interface LateComparisonOptions {
  readonly store: ObjectStore
  readonly logger: Logger
  readonly signal: AbortSignal
}

/**
 * Compares databases with their backup when this node leads already. It led without, because it has the history of the
 * last leader, and the listing named nothing more. But an object of a deposed leader may end at or before its position.
 */
export class LateComparison {
  readonly #options: LateComparisonOptions
  readonly #limit = pLimit(AT_ONCE)
  readonly #running = new Set<Promise<void>>()

  constructor(options: LateComparisonOptions) {
    this.#options = options
  }

  /** Calls `done` with what is known then. Repeats until the store answers, or the signal ends it. */
  begin(log: LogView, led: TakenOver, toCompare: bigint, done: (takenOver: TakenOver) => void): void {
    const running = this.#limit(() => this.#repeat(log, led, toCompare))
      .then((takenOver) => takenOver && done(takenOver))
      .finally(() => this.#running.delete(running))
    this.#running.add(running)
  }

  /** Resolves when nothing is left to compare, or a signal has ended it. */
  async settled(signal: AbortSignal): Promise<void> {
    let stop = () => {}
    const aborted = new Promise<void>((resolve) => (stop = resolve))
    signal.addEventListener('abort', stop)
    while (this.#running.size > 0 && !signal.aborted) await Promise.race([Promise.all(this.#running), aborted])
    signal.removeEventListener('abort', stop)
  }

  async #repeat(log: LogView, led: TakenOver, toCompare: bigint): Promise<TakenOver | undefined> {
    const { logger, signal } = this.#options
    let isReported = false
    for (let waitMs = FIRST_RETRY_MS; !signal.aborted; waitMs = Math.min(2 * waitMs, LONGEST_RETRY_MS)) {
      try {
        return await this.#compare(log, led, toCompare)
      } catch (err) {
        if (signal.aborted) break
        if (!isReported) {
          logger.warn({ database: log.database, err }, 'a database cannot be compared with its backup: it is retried')
        }
        isReported = true
        await delay(waitMs, undefined, { signal, ref: false }).catch(() => undefined)
      }
    }
    return undefined
  }

  /** Where the backup has another history, what is shipped begins before it. */
  async #compare(log: LogView, { at }: TakenOver, toCompare: bigint): Promise<TakenOver> {
    const { store, signal } = this.#options
    const plan = planTakeOver(await gatherTakeOverFacts(store, log, toCompare, { signal }))
    const isOther = plan.kind === 'diverged' && plan.winner === 'local' && plan.takenOverAt < at
    return { at: isOther ? plan.takenOverAt : at, isBackedUp: plan.kind === 'equal' && plan.takenOverAt === at }
  }
}
