import { setTimeout as sleep } from 'node:timers/promises'
import { type CheckpointOutcome, SharedCheckpoint } from '../../apply/shared-checkpoint.ts'
import { SharedDatabase } from '../../apply/shared-database.ts'
import { SharedWalIndex } from '../../apply/shared-wal-index.ts'
import { LogReader } from '../../log/reader.ts'
import { ZERO_POSITION } from '../../log/store.ts'
import { errorCode, errorMessage } from '../../util/errors.ts'
import type { FromClient, ToClient } from './messages.ts'

type GuardOrder = Extract<ToClient, { type: 'guard' }>
type CheckpointerMessage = Extract<FromClient, { type: 'checkpointed' | 'guarding' | 'released' | 'checkpoint-failed' }>

/** As SQLite's wal_autocheckpoint has it by default. */
export const CHECKPOINT_FRAMES = 1000
/** From so many frames on the WAL has to begin anew, at full speed too: see `checkpoint`. */
const RESTART_FRAMES = 4 * CHECKPOINT_FRAMES
/** From so many on, even if that takes keeping out a writer that is the only one, and may not be used to that. */
const LONG_FRAMES = 4 * RESTART_FRAMES
/** How long a writer that is the only one has for bringing the checkpoint to its end itself. */
const WRITER_MS = 50
/** How often a database is looked at: while it is written to, and the longer it is not, the less. */
const SHORTEST_MS = 10
const LONGEST_MS = 200
/** After a reader was in the way. */
const BLOCKED_MS = 100
/** A long WAL that could not be brought to its end is tried again after so many more frames. */
const RESTART_AGAIN_FRAMES = CHECKPOINT_FRAMES / 4

interface Guarded {
  readonly name: string
  readonly path: string
  /** To sync it. The data plane's thread does not wait for that, so commits go on meanwhile. */
  readonly log: LogReader
  index: SharedWalIndex | undefined
  hasSeveralWriters: boolean
  stopped: boolean
  timer: NodeJS.Timeout | undefined
  intervalMs: number
  /** What was seen of it last: its change counter, so that a pause of the writers is noticed. */
  lastChange: number
  restartTriedAt: number
  /** What was said of it last. */
  problem: string | undefined
}

/**
 * The part of the local client that checkpoints for a primary's applications. Of each database that several connections have open it holds SQLite's
 * checkpoint lock, looks into the wal-index now and then (which costs no request of the mount), and copies when it is worth while.
 */
export class Checkpointer {
  readonly #mountDir: string
  readonly #say: (message: CheckpointerMessage) => void
  readonly #guarded = new Map<string, Guarded>()

  constructor(mountDir: string, say: (message: CheckpointerMessage) => void) {
    this.#mountDir = mountDir
    this.#say = say
  }

  /** Several connections have the database open. */
  guard({ database: name, logDir, hasSeveralWriters }: GuardOrder): void {
    const known = this.#guarded.get(name)
    if (known !== undefined) {
      known.hasSeveralWriters = hasSeveralWriters
      return
    }
    const path = `${this.#mountDir}/${name}`
    const log = new LogReader(name, logDir, () => ZERO_POSITION)
    const guarded: Guarded = {
      ...{
        name,
        path,
        log,
        hasSeveralWriters,
        index: undefined,
        stopped: false,
        timer: undefined,
        intervalMs: SHORTEST_MS,
      },
      ...{ lastChange: -1, restartTriedAt: 0, problem: undefined },
    }
    this.#guarded.set(name, guarded)
    void this.#look(guarded)
  }

  /** No longer: whoever has it open checkpoints by itself. A checkpoint under way ends within milliseconds. */
  leave(name: string): void {
    const guarded = this.#guarded.get(name)
    if (guarded === undefined) return
    this.#guarded.delete(name)
    guarded.stopped = true
    // Otherwise a look is under way, and ends with this.
    if (guarded.timer !== undefined) this.#letGo(guarded)
    clearTimeout(guarded.timer)
  }

  async #look(guarded: Guarded): Promise<void> {
    guarded.timer = undefined
    try {
      await this.#guard(guarded)
    } catch (error) {
      this.#letGo(guarded)
      this.#complain(guarded, error)
    }
    if (guarded.stopped) return this.#letGo(guarded)
    guarded.timer = setTimeout(() => void this.#look(guarded), guarded.intervalMs)
  }

  async #guard(guarded: Guarded): Promise<void> {
    if (guarded.index?.header() === undefined) this.#letGo(guarded)
    if (guarded.index === undefined) {
      guarded.index = SharedWalIndex.take(guarded.path)
      if (guarded.index === undefined) return rest(guarded)
      guarded.intervalMs = SHORTEST_MS
      this.#say({ type: 'guarding', database: guarded.name })
    }
    const due = this.#due(guarded, guarded.index)
    if (due === undefined) {
      if (guarded.intervalMs === LONGEST_MS && !guarded.index.isUsable()) this.#letGo(guarded)
      return
    }
    const startedAt = performance.now()
    const outcome = await checkpoint(guarded, guarded.index, due)
    if (outcome === undefined) return this.#letGo(guarded)
    this.#report(guarded, guarded.index, outcome, performance.now() - startedAt)
    const isLeft = due === 'restart-by-writer' && outcome.state === 'behind'
    if (isLeft && !(await finishedByWriter(guarded, guarded.index))) return this.#letGo(guarded)
    if (outcome.state === 'blocked') guarded.intervalMs = BLOCKED_MS
    if (outcome.state === 'complete') guarded.problem = undefined
  }

  #due(guarded: Guarded, index: SharedWalIndex): Due | undefined {
    const header = index.header()
    if (header === undefined) return undefined
    const { change, maxFrame } = header
    const backfilled = index.marks.backfilled()
    const pauses = change === guarded.lastChange
    guarded.lastChange = change
    if (pauses) rest(guarded)
    else guarded.intervalMs = SHORTEST_MS
    if (maxFrame < guarded.restartTriedAt) guarded.restartTriedAt = 0
    if (backfilled > maxFrame) return pauses ? 'copy' : undefined
    if (maxFrame >= RESTART_FRAMES && !pauses && maxFrame >= guarded.restartTriedAt + RESTART_AGAIN_FRAMES) {
      guarded.restartTriedAt = maxFrame
      return guarded.hasSeveralWriters || maxFrame >= LONG_FRAMES ? 'restart' : 'restart-by-writer'
    }
    if (maxFrame < CHECKPOINT_FRAMES || backfilled === maxFrame) return undefined
    return pauses || maxFrame - backfilled >= CHECKPOINT_FRAMES ? 'copy' : undefined
  }

  #report({ name }: Guarded, index: SharedWalIndex, { state, pages }: CheckpointOutcome, durationMs: number): void {
    const frames = index.header()?.maxFrame ?? 0
    const left = Math.max(0, frames - index.marks.backfilled())
    this.#say({ type: 'checkpointed', database: name, state, pages, frames, left, durationMs })
  }

  #letGo(guarded: Guarded): void {
    if (guarded.index === undefined) return
    guarded.index.release()
    guarded.index = undefined
    this.#say({ type: 'released', database: guarded.name })
  }

  /** Once, until something else is the matter. */
  #complain(guarded: Guarded, error: unknown): void {
    rest(guarded)
    const message = errorMessage(error)
    if (guarded.problem === message) return
    guarded.problem = message
    const code = errorCode(error) ?? 'INTERNAL'
    this.#say({ type: 'checkpoint-failed', database: guarded.name, code, message })
  }
}

/**
 * How a WAL begins anew while it is written at full speed: where several write, each of them is used to waiting for the others, and waits for this
 * process some milliseconds. One that is alone may take SQLITE_BUSY for a failure: it copies the last frames itself.
 */
type Due = 'copy' | 'restart' | 'restart-by-writer'

const WORK: Readonly<Record<Due, (work: SharedCheckpoint) => Promise<CheckpointOutcome>>> = {
  copy: (work) => work.run(),
  restart: (work) => work.runAndRestart(),
  'restart-by-writer': (work) => work.runNearEnd(),
}

/**
 * The only writer checkpoints at its next commit, which is little work by then, and begins the WAL anew with the one after. Two that race for it,
 * which is what the WAL-reset bug needs, there are not. False when a checkpoint of its own is under way.
 */
async function finishedByWriter(guarded: Guarded, index: SharedWalIndex): Promise<boolean> {
  const frames = index.header()?.maxFrame ?? 0
  index.letCheckpoint()
  const until = performance.now() + WRITER_MS
  const isWaiting = () => !guarded.stopped && !guarded.hasSeveralWriters && performance.now() < until
  while (isWaiting() && (index.header()?.maxFrame ?? 0) >= frames) await sleep(1)
  return index.takeBack()
}

/** undefined when what is held is no longer what applications use, or one of them has the database to itself. */
async function checkpoint(guarded: Guarded, index: SharedWalIndex, due: Due): Promise<CheckpointOutcome | undefined> {
  const database = SharedDatabase.open(guarded.path)
  if (database === undefined) return undefined
  try {
    // Only now: whoever could have replaced it needs the database for itself.
    if (!index.isUsable()) return undefined
    const makeDurable = async () => void (await guarded.log.sync())
    if (!index.join()) {
      // In use when it was taken, and looked after since: what was open is so no longer, and found the database open here.
      if (database.becomeLast()) await closeAsLast(database, index, makeDurable)
      return undefined
    }
    const work = new SharedCheckpoint(database, index, { makeDurable, isStopped: () => guarded.stopped })
    const outcome = await WORK[due](work)
    const isLast = database.becomeLast()
    if (isLast) await closeAsLast(database, index, makeDurable)
    index.part()
    return isLast ? undefined : outcome
  } finally {
    database.close()
  }
}

/** The applications' last connection closed meanwhile, and could not take the WAL away: what it would have done is done now. */
async function closeAsLast(
  database: SharedDatabase,
  index: SharedWalIndex,
  makeDurable: () => Promise<void>,
): Promise<void> {
  const work = new SharedCheckpoint(database, index, { makeDurable, isStopped: () => false })
  const { state } = await work.run()
  if (state === 'complete' && work.endsWithIndex()) database.removeWal()
}

function rest(guarded: Guarded): void {
  guarded.intervalMs = Math.min(LONGEST_MS, guarded.intervalMs * 2)
}
