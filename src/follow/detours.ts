import { CorruptObjectError, MISSING, NoWayRoundError } from '../backup/history/errors.ts'
import type { Next } from '../backup/history/next.ts'
import { ObjectNotFoundError } from '../objectstore/errors.ts'
import { SourceChangingError } from './errors.ts'
import type { FollowEvent } from './events.ts'

/** How often one pass lists the backup again when compaction or retention removes a listed file. */
const MAX_LISTINGS = 4

/** The objects that one pass found damaged or missing. Its next plan leads round them. */
export class Detours {
  readonly #url: string
  readonly #damaged = new Map<string, CorruptObjectError>()
  /** The object that disappeared last: it may have been deleted after it was listed. */
  #gone: string | undefined
  #listings = 1
  #reported = 0

  constructor(url: string) {
    this.#url = url
  }

  get keys(): ReadonlySet<string> {
    return new Set(this.#damaged.keys())
  }

  /** Takes what a plan has failed on. Throws what no other plan can help. */
  add(error: unknown): void {
    if (error instanceof ObjectNotFoundError) this.#addGone(error.key)
    else if (!(error instanceof CorruptObjectError) || error instanceof NoWayRoundError) throw error
    else if (this.#damaged.has(error.key)) throw error
    else this.#damaged.set(error.key, error)
  }

  /** The plan, whose detours are reported. Throws the error of the first damaged object where there is none. */
  taken(planned: Next | undefined, report: (event: FollowEvent) => void): Next {
    if (planned === undefined) throw this.#noWay()
    for (const { key, problem } of [...this.#damaged.values()].slice(this.#reported)) {
      report({ event: 'avoided', key, problem })
    }
    this.#reported = this.#damaged.size
    return planned
  }

  #noWay(): Error {
    const [first] = this.#damaged.values()
    if (first === undefined) return new Error('a plan around nothing is the plan itself')
    const advice = 'No other objects hold its transactions: the file follows again when a later snapshot does'
    return new NoWayRoundError(this.#url, first.key, first.problem, { advice })
  }

  #addGone(key: string): void {
    // The second listing still has it.
    if (key === this.#gone) this.#damaged.set(key, new CorruptObjectError(this.#url, key, MISSING))
    else if (++this.#listings > MAX_LISTINGS) throw new SourceChangingError(this.#url, key)
    this.#gone = key
  }
}
