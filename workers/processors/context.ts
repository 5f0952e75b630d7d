import type { ObjectStore } from '../../src/objectstore/objectstore.ts'
import type { RestoreTarget } from '../payloads.ts'

/** What a processor gets besides its payload: nothing in it knows of queues, so that a function can call it too. */
export interface JobContext {
  /** The backup. */
  readonly store: ObjectStore
  /** Aborted when the work is to end early: it is done again, by someone else. */
  readonly signal: AbortSignal
  readonly progress: (pages: number) => void
  readonly nowMs: () => number
}

export interface RestoreContext extends JobContext {
  /** Closed by whoever gave it. */
  readonly openStore: (url: string) => ObjectStore
  /** Where restores to files go; without it there are none. */
  readonly outputDir?: string
  /** From here on a repetition of the job means this state, also if it asked for the newest. */
  readonly pin: (target: RestoreTarget) => Promise<void>
}

/** A file of a level, as results tell it. */
export interface WrittenFile {
  readonly level: number
  readonly min: string
  readonly max: string
}
