import type { TXID } from '../../ltx/format/types.ts'
import type { Clock } from '../../util/clock.ts'
import type { BackupFile, BackupHistory } from '../history/history.ts'

/** Lists databases. */
export interface Survey {
  /** Requests cost something: all databases are listed together, and what needs a listing waits for that one. */
  readonly isSparing: boolean
  /** Whether such a listing is worth its requests. */
  isDue(intervalMs: number, isNeeded: boolean): boolean
  loadAll(databases: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, Listed>>
  loadOne(database: string, signal: AbortSignal): Promise<Listed>
  /** All is done that needs the listing of this database. */
  trim(database: string): void
  /** The database is no longer backed up. */
  forget(database: string): void
}

export interface SurveyedDatabase {
  readonly history: BackupHistory
  /** Objects that are not as they were. */
  readonly changed: readonly BackupFile[]
  /** A transaction that was in the backup before it was listed. */
  readonly shipped?: TXID | undefined
  /** Before it was listed. */
  readonly listedAt: { readonly atMs: number; readonly monotonicMs: number }
}

/** What a survey tells of a database. */
export type Listed = Pick<SurveyedDatabase, 'history' | 'changed'>

/** A database that is looked at. */
export interface Surveyed {
  /** The last transaction that is in the backup; undefined where that is unknown, and for a dropped database. */
  readonly shipped: TXID | undefined
}

/** What is done with the listing of a database. Returns whether its newest state can be restored. Never rejects. */
export type Look = (name: string, load: () => Promise<SurveyedDatabase>) => Promise<boolean>

interface Again {
  readonly atMs: number
  readonly pauseMs: number
}

const FIRST_MS = 60_000
const MAX_AGAIN_MS = 3_600_000
/** More databases are listed together: a page of a listing names a thousand objects. */
const MAX_ALONE = 10

/**
 * When databases are listed so that each is looked at within an interval. A database whose newest state could not be
 * restored, or was healed just now, is listed again by itself after a minute, and then after growing pauses.
 */
export class Surveys {
  readonly #survey: Survey
  readonly #clock: Clock
  readonly #intervalMs: number
  readonly #databases: ReadonlyMap<string, { readonly target: Surveyed }>
  #allAtMs: number
  readonly #again = new Map<string, Again>()

  constructor(
    survey: Survey,
    clock: Clock,
    intervalMs: number,
    databases: ReadonlyMap<string, { readonly target: Surveyed }>,
  ) {
    this.#survey = survey
    this.#clock = clock
    this.#intervalMs = intervalMs
    this.#databases = databases
    this.#allAtMs = clock.monotonicMs() + Math.min(intervalMs, FIRST_MS)
  }

  /** When the next listing is due, by the monotonic clock. */
  get dueMs(): number {
    return Math.min(this.#allAtMs, ...Array.from(this.#again.values(), ({ atMs }) => atMs))
  }

  /** Makes the listings that are due. Rejects where all databases cannot be listed. */
  async run(look: Look, signal: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonicMs()
    const due = Array.from(this.#again).filter(([, { atMs }]) => atMs <= nowMs)
    if (this.#allAtMs <= nowMs || due.length > MAX_ALONE) return this.all(look, signal)
    for (const [name] of due) {
      if (signal.aborted) return
      const target = this.#databases.get(name)?.target
      if (target === undefined) {
        this.#again.delete(name)
        continue
      }
      const { shipped } = target
      await this.#look(name, look, async () => {
        const listedAt = this.#now()
        return { ...(await this.#survey.loadOne(name, signal)), shipped, listedAt }
      })
    }
  }

  /** Lists all databases. Rejects where that fails; it is due again soon. */
  async all(look: Look, signal: AbortSignal): Promise<void> {
    const soonMs = this.#clock.monotonicMs() + Math.min(this.#intervalMs, FIRST_MS)
    this.#allAtMs = soonMs
    // Where the listing fails, they have to wait for it.
    for (const [name, { atMs, pauseMs }] of this.#again) {
      if (!this.#databases.has(name)) this.#again.delete(name)
      else this.#again.set(name, { atMs: Math.max(atMs, soonMs), pauseMs })
    }
    if (this.#databases.size === 0) return
    const shipped = new Map(Array.from(this.#databases, ([name, { target }]) => [name, target.shipped]))
    const listedAt = this.#now()
    const listed = await this.#survey.loadAll([...shipped.keys()], signal)
    this.#allAtMs = this.#clock.monotonicMs() + this.#intervalMs
    for (const [name, found] of listed) {
      if (this.#databases.has(name)) {
        await this.#look(name, look, () => Promise.resolve({ ...found, shipped: shipped.get(name), listedAt }))
      } else {
        this.#survey.forget(name)
      }
    }
  }

  #now(): SurveyedDatabase['listedAt'] {
    return { atMs: this.#clock.now(), monotonicMs: this.#clock.monotonicMs() }
  }

  async #look(name: string, look: Look, load: () => Promise<SurveyedDatabase>): Promise<void> {
    const isRestorable = await look(name, load)
    this.#survey.trim(name)
    const before = this.#again.get(name)?.pauseMs
    this.#again.delete(name)
    if (isRestorable) return
    const pauseMs = Math.min(this.#intervalMs, before === undefined ? FIRST_MS : Math.min(2 * before, MAX_AGAIN_MS))
    this.#again.set(name, { atMs: this.#clock.monotonicMs() + pauseMs, pauseMs })
  }
}
