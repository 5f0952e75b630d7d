import type { ObjectStore } from '../../src/objectstore/objectstore.ts'
import type { RestoreTarget } from '../payloads.ts'

/** A processor's input besides its payload. It knows nothing of queues, so a function can call a processor too. */
export interface JobContext {
  /** The backup. */
  readonly store: ObjectStore
  /** Aborted when the work must end early. Another worker then repeats it. */
  readonly signal: AbortSignal
  readonly progress: (pages: number) => void
  readonly nowMs: () => number
}

export interface RestoreContext extends JobContext {
  /** Opens a configured store by its name or URL. The caller closes it. Throws UnknownStoreError. */
  readonly openStore: (reference: string) => ObjectStore
  /** The directory for restores to files. Without it, such restores fail. */
  readonly outputDir?: string
  /** Makes repetitions of the job restore this state, even if the job requested the newest. */
  readonly pin: (target: RestoreTarget) => Promise<void>
}

/** A file of a level, as results report it. */
export interface WrittenFile {
  readonly level: number
  readonly min: string
  readonly max: string
}
