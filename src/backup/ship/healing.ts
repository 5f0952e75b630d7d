/** Heals a backup from the live database, which this node has. */

import { formatTXID, type TXID } from '../../ltx/format/types.ts'
import { ObjectNotFoundError } from '../../objectstore/errors.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import type { BackupLogger, Clock } from '../../util/clock.ts'
import { errorMessage } from '../../util/errors.ts'
import { BackupEndMissingError, BackupGapError, BrokenChainError, CorruptObjectError } from '../history/errors.ts'
import { isDamagedInStore } from '../history/examine.ts'
import { type BackupFile, type BackupHistory, loadHistory } from '../history/history.ts'
import { SNAPSHOT_LEVEL } from '../history/layout.ts'
import { newestProblem } from '../history/measure.ts'
import { NEWEST, planRestore } from '../history/plan.ts'
import { setAside } from './set-aside.ts'

export interface HealingContext {
  readonly store: ObjectStore
  readonly database: string
  readonly clock: Clock
  readonly logger: BackupLogger
  /** The last transaction of the live database. */
  readonly position: () => TXID
  /** Ships a snapshot of the live database. Returns its last transaction; undefined where there is no database. */
  readonly snapshot: (signal: AbortSignal) => Promise<TXID | undefined>
}

/** The problem of a plan is that of no single object. */
const PLAN = ''
const HOUR_MS = 3_600_000
const FIRST_PAUSE_MS = 60_000
/** How many damaged objects one attempt sets aside. */
const MAX_FINDINGS = 64

/**
 * Takes the damage that upkeep finds. What the newest state needs is replaced by a snapshot of the live database at
 * once, or after a pause where the last one was within the hour. Damaged objects are set aside afterwards.
 */
export class Healing {
  readonly #context: HealingContext
  readonly #healed = new Set<string>()
  #lastMs = -Infinity
  #pauseMs = 0
  /** By the task that found it. */
  readonly #problems = new Map<string, string>()
  /** What listings show, by the object, or of the plan of a restore. */
  readonly #listed = new Map<string, string>()

  constructor(context: HealingContext) {
    this.#context = context
  }

  /** What was found and is not healed yet. */
  get problem(): string | undefined {
    const [problem] = [...this.#listed.values(), ...this.#problems.values()]
    return problem
  }

  /** Does the work of a task, and again where it has failed on damage that is healed now. */
  async around<T>(task: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const seen = new Set<string>()
    for (;;) {
      try {
        const result = await work()
        this.#problems.delete(task)
        return result
      } catch (error) {
        if (signal.aborted || !isDamage(error)) throw error
        this.#problems.set(task, errorMessage(error))
        // What is healed is not found again.
        const finding = keyOf(error) ?? error.message
        if (seen.has(finding) || seen.size >= MAX_FINDINGS) throw error
        seen.add(finding)
        await this.#heal(error, signal)
      }
    }
  }

  /** Files do not continue each other. Their snapshot is made once. */
  async notJoined(problem: string, signal: AbortSignal): Promise<void> {
    if (this.#healed.has(problem)) return
    const { store, database } = this.#context
    await this.#snapshot(new BrokenChainError(store.url, database, problem), signal)
    this.#healed.add(problem)
  }

  /**
   * Plans a restore of the newest state from a listing. Heals where that is not possible, and where the plan ends
   * before a transaction that was shipped before.
   */
  async check(history: BackupHistory, signal: AbortSignal, shipped?: TXID): Promise<boolean> {
    const gap = newestProblem(history, shipped)
    // A second listing decides.
    const again = gap && newestProblem(await loadHistory(this.#context.store, this.#context.database, signal), shipped)
    if (again === undefined) {
      // Who does not know what was shipped cannot miss it.
      if (shipped !== undefined) this.#listed.delete(PLAN)
      return false
    }
    this.#listed.set(PLAN, errorMessage(again))
    await this.#snapshot(again, signal)
    return true
  }

  /** A listing shows no damage. */
  noneListed(): void {
    this.#listed.clear()
  }

  /**
   * A listing has an object that is not as it was, and a second request says the same. Heals what it is needed for.
   * Returns false where the object is whole.
   */
  async changed(error: CorruptObjectError, signal: AbortSignal): Promise<boolean> {
    const isHealed = await this.#heal(error, signal, () => this.#listed.set(error.key, errorMessage(error)))
    this.#listed.delete(error.key)
    return isHealed
  }

  async #heal(error: Error, signal: AbortSignal, confirmed?: () => void): Promise<boolean> {
    const { store, database, position } = this.#context
    const key = keyOf(error)
    const history = await loadHistory(store, database, signal)
    const file = history.files.find((one) => one.key === key)
    if (key === undefined || (error instanceof CorruptObjectError && !error.conclusive)) {
      await this.#snapshot(error, signal)
      return true
    }
    // It was removed since, or other reads find it whole.
    if (file === undefined || !(await this.#isDamaged(file, signal))) return this.check(history, signal)
    confirmed?.()
    // The new snapshot needs its name.
    const isInTheWay = file.level === SNAPSHOT_LEVEL && file.max === position()
    if (isInTheWay) await this.#setAside(key, error, signal)
    if (isInTheWay || isNeeded(history, key)) await this.#snapshot(error, signal)
    if (!isInTheWay) await this.#setAside(key, error, signal)
    return true
  }

  async #snapshot(error: Error, signal: AbortSignal): Promise<void> {
    const { database, clock, logger, snapshot } = this.#context
    const sinceMs = clock.monotonicMs() - this.#lastMs
    if (sinceMs < this.#pauseMs) throw error
    logger.warn(
      { database, err: error },
      'the backup has a gap or is damaged: shipping a snapshot of the live database',
    )
    const txid = await snapshot(signal)
    this.#pauseMs = sinceMs < HOUR_MS ? Math.min(HOUR_MS, this.#pauseMs * 2) : FIRST_PAUSE_MS
    this.#lastMs = clock.monotonicMs()
    this.#problems.clear()
    this.#listed.clear()
    if (txid === undefined) return
    logger.info({ database, txid: formatTXID(txid) }, 'the backup is restorable again: it has a new snapshot')
  }

  async #setAside(key: string, error: Error, signal: AbortSignal): Promise<void> {
    const { store, database, logger } = this.#context
    const copy = await setAside(store, key, signal)
    if (copy !== undefined) logger.warn({ database, key, copy, err: error }, 'set a damaged object of the backup aside')
  }

  async #isDamaged(file: BackupFile, signal: AbortSignal): Promise<boolean> {
    try {
      return await isDamagedInStore(this.#context.store, file, signal)
    } catch (error) {
      // Listed twice, and not found twice.
      if (error instanceof ObjectNotFoundError) return true
      throw error
    }
  }
}

function isDamage(error: unknown): error is Error {
  return (
    error instanceof CorruptObjectError ||
    error instanceof ObjectNotFoundError ||
    error instanceof BackupGapError ||
    error instanceof BackupEndMissingError ||
    error instanceof BrokenChainError
  )
}

function keyOf(error: Error): string | undefined {
  return error instanceof CorruptObjectError || error instanceof ObjectNotFoundError ? error.key : undefined
}

/** Whether a restore of the newest state would read the object. */
function isNeeded(history: BackupHistory, key: string): boolean {
  if (newestProblem(history) !== undefined) return true
  try {
    return planRestore(history, NEWEST).some((file) => file.key === key)
  } catch {
    return false
  }
}
