import type { CheckpointOutcome } from '../../apply/shared-checkpoint.ts'
import { SharedWalIndex } from '../../apply/shared-wal-index.ts'
import { LogReader } from '../../log/reader.ts'
import { ZERO_POSITION } from '../../log/store.ts'
import { errorCode, errorMessage } from '../../util/errors.ts'
import type { FilesBeneath } from '../../util/files-beneath.ts'
import type { Announce } from './announcer.ts'
import { checkpoint, type Due, finishedByWriter, type Guarded } from './guarded-checkpoint.ts'
import type { FromClient, ToClient } from './messages.ts'

type GuardOrder = Extract<ToClient, { type: 'guard' }>
type QuietOrder = Extract<ToClient, { type: 'quiet' }>
type CheckpointerMessage = Extract<FromClient, { type: 'checkpointed' | 'guarding' | 'released' | 'checkpoint-failed' }>

/** The default of SQLite's wal_autocheckpoint. */
export const CHECKPOINT_FRAMES = 1000
/** From this length on applications no longer checkpoint, so that no commit of theirs copies a long WAL. */
const GUARD_FRAMES = 900
/** From this length on the WAL has to restart, even under full load: see `Due`. */
const RESTART_FRAMES = 4 * CHECKPOINT_FRAMES
/** From this length on it restarts even if that blocks a sole writer, which may not expect SQLITE_BUSY. */
const LONG_FRAMES = 4 * RESTART_FRAMES
/** Bounds of the interval between two polls of a database. The interval grows while nobody writes. */
const SHORTEST_MS = 10
const LONGEST_MS = 200
/** The interval while an application waits to restart the WAL. */
const RESTART_MS = 2
/** The interval after a reader has blocked a checkpoint. */
const BLOCKED_MS = 100
/** A database to which nobody has committed for this long is copied into its file, however short its WAL is. */
const QUIET_MS = 1_000
/** A failed restart is retried after this many more frames. */
const RESTART_AGAIN_FRAMES = CHECKPOINT_FRAMES / 4

/**
 * The part of the local client that checkpoints for a primary's applications. It holds SQLite's checkpoint lock of each
 * database that several connections have open, polls the wal-index (which costs no FUSE request), and copies frames
 * when that is worth it.
 */
export class Checkpointer {
  readonly #files: FilesBeneath
  readonly #data: FilesBeneath
  readonly #announce: Announce
  readonly #send: (message: CheckpointerMessage) => void
  readonly #guarded = new Map<string, Guarded>()
  /** One quiet database after the other. */
  #quietWork: Promise<void> = Promise.resolve()

  /** `files` is the mount, and `data` the data directory. */
  constructor(
    files: FilesBeneath,
    data: FilesBeneath,
    announce: Announce,
    send: (message: CheckpointerMessage) => void,
  ) {
    this.#files = files
    this.#data = data
    this.#announce = announce
    this.#send = send
  }

  /** Several connections have the database open. */
  guard({ database: name, logDir, hasSeveralWriters }: GuardOrder): void {
    const known = this.#guarded.get(name)
    if (known !== undefined) {
      known.hasSeveralWriters = hasSeveralWriters
      return
    }
    const guarded = this.#newlyGuarded(name, logDir, hasSeveralWriters)
    this.#guarded.set(name, guarded)
    void this.#poll(guarded)
  }

  /**
   * Copies a quiet database into its file, once. The connection that has it open may close, or change the journal mode,
   * at any other moment.
   */
  quiet({ database: name, logDir }: QuietOrder): void {
    this.#quietWork = this.#quietWork.then(() => this.#copyQuiet(this.#newlyGuarded(name, logDir, false)))
  }

  async #copyQuiet(guarded: Guarded): Promise<void> {
    if (this.#guarded.has(guarded.name)) return
    try {
      const index = (guarded.index = SharedWalIndex.take(this.#files, guarded.path))
      if (index === undefined) return
      const startedAt = performance.now()
      const outcome = await checkpoint(this.#files, this.#announce, guarded, index, 'copy')
      if (outcome !== undefined) this.#report(guarded, index, outcome, performance.now() - startedAt)
    } catch (error) {
      this.#reportProblem(guarded, error)
    } finally {
      guarded.index?.release()
    }
  }

  #newlyGuarded(name: string, logDir: string, hasSeveralWriters: boolean): Guarded {
    const path = `${this.#files.root}/${name}`
    const log = new LogReader(this.#data, name, logDir, () => ZERO_POSITION)
    const inode = inodeOf(this.#files, path)
    return {
      ...{ name, path, inode, log, hasSeveralWriters, index: undefined, stopped: false, timer: undefined },
      ...{
        intervalMs: SHORTEST_MS,
        lastChange: -1,
        quietAtMs: 0,
        restartTriedAt: 0,
        problem: undefined,
        wasCheckpointed: false,
      },
    }
  }

  /** Applications checkpoint the database by themselves again. A running checkpoint ends within milliseconds. */
  leave(name: string): void {
    const guarded = this.#guarded.get(name)
    if (guarded === undefined) return
    this.#guarded.delete(name)
    guarded.stopped = true
    // Without a timer, a poll is running, and releases the lock at its end.
    if (guarded.timer !== undefined) this.#release(guarded)
    clearTimeout(guarded.timer)
  }

  async #poll(guarded: Guarded): Promise<void> {
    guarded.timer = undefined
    try {
      await this.#guard(guarded)
    } catch (error) {
      this.#release(guarded)
      this.#reportProblem(guarded, error)
    }
    if (guarded.stopped) return this.#release(guarded)
    guarded.timer = setTimeout(() => void this.#poll(guarded), guarded.intervalMs)
  }

  async #guard(guarded: Guarded): Promise<void> {
    if (guarded.index?.header() === undefined || !guarded.index.keepsMark()) this.#release(guarded)
    if (guarded.index === undefined) {
      guarded.index = SharedWalIndex.take(this.#files, guarded.path, 'slot')
      if (guarded.index === undefined) return rest(guarded)
      guarded.intervalMs = SHORTEST_MS
      this.#send({ type: 'guarding', database: guarded.name })
    }
    const due = this.#due(guarded, guarded.index)
    this.#chooseGuard(guarded, guarded.index)
    if (due === undefined) {
      if (guarded.intervalMs === LONGEST_MS && !guarded.index.isUsable()) this.#release(guarded)
      return
    }
    if (!guarded.index.beginCheckpoint()) return
    const startedAt = performance.now()
    const outcome = await checkpoint(this.#files, this.#announce, guarded, guarded.index, due)
    guarded.index.endCheckpoint()
    if (outcome === undefined) return this.#release(guarded)
    this.#report(guarded, guarded.index, outcome, performance.now() - startedAt)
    const isLeft = due === 'restart-by-writer' && outcome.state === 'behind'
    if (isLeft && !(await finishedByWriter(guarded, guarded.index))) return this.#release(guarded)
    if (outcome.state === 'blocked') guarded.intervalMs = BLOCKED_MS
    if (outcome.state === 'complete') guarded.problem = undefined
  }

  /**
   * A short WAL is guarded by the unused read mark, and a long one by the checkpoint lock, until it restarts. An
   * application that has copied everything and still checkpoints waits to restart the WAL: it may.
   */
  #chooseGuard(guarded: Guarded, index: SharedWalIndex): void {
    const maxFrame = index.header()?.maxFrame ?? 0
    if (index.guard === 'restart') {
      if (index.isCheckpointed) return void (guarded.intervalMs = RESTART_MS)
      index.guardBy('slot')
      if (index.guard === 'restart') index.guardBy('checkpoint')
    } else if (maxFrame >= GUARD_FRAMES) {
      index.guardBy('checkpoint')
    } else if (index.guard === 'checkpoint') {
      index.guardBy('slot')
    } else {
      const isCheckpointed = index.marks.backfilled() === maxFrame && index.isCheckpointed
      if (isCheckpointed && guarded.wasCheckpointed) index.guardBy('restart')
      guarded.wasCheckpointed = isCheckpointed
    }
    if (index.guard === 'restart' || guarded.wasCheckpointed) guarded.intervalMs = RESTART_MS
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
    if (!pauses) guarded.quietAtMs = performance.now() + QUIET_MS
    if (maxFrame < guarded.restartTriedAt) guarded.restartTriedAt = 0
    if (backfilled > maxFrame) return pauses ? 'copy' : undefined
    if (maxFrame >= RESTART_FRAMES && !pauses && maxFrame >= guarded.restartTriedAt + RESTART_AGAIN_FRAMES) {
      guarded.restartTriedAt = maxFrame
      return guarded.hasSeveralWriters || maxFrame >= LONG_FRAMES ? 'restart' : 'restart-by-writer'
    }
    if (backfilled === maxFrame) {
      const isLong = index.guard === 'checkpoint' && maxFrame >= GUARD_FRAMES
      if (isLong && performance.now() >= guarded.quietAtMs) index.restart()
      return undefined
    }
    if (maxFrame < CHECKPOINT_FRAMES) {
      if (performance.now() < guarded.quietAtMs) return undefined
      guarded.quietAtMs = performance.now() + QUIET_MS
      return 'copy'
    }
    return pauses || maxFrame - backfilled >= CHECKPOINT_FRAMES ? 'copy' : undefined
  }

  #report({ name }: Guarded, index: SharedWalIndex, { state, pages }: CheckpointOutcome, durationMs: number): void {
    const frames = index.header()?.maxFrame ?? 0
    const left = Math.max(0, frames - index.marks.backfilled())
    this.#send({ type: 'checkpointed', database: name, state, pages, frames, left, durationMs })
  }

  #release(guarded: Guarded): void {
    if (guarded.index === undefined) return
    guarded.index.release()
    guarded.index = undefined
    this.#send({ type: 'released', database: guarded.name })
  }

  /** Reports a problem once, until it changes. */
  #reportProblem(guarded: Guarded, error: unknown): void {
    rest(guarded)
    const message = errorMessage(error)
    if (guarded.problem === message) return
    guarded.problem = message
    const code = errorCode(error) ?? 'INTERNAL'
    this.#send({ type: 'checkpoint-failed', database: guarded.name, code, message })
  }
}

/** undefined for a name that is no regular file, or is reached by a link: no such database is opened either. */
function inodeOf(files: FilesBeneath, path: string): number | undefined {
  try {
    return files.status(path)?.ino
  } catch {
    return undefined
  }
}

function rest(guarded: Guarded): void {
  guarded.intervalMs = Math.min(LONGEST_MS, guarded.intervalMs * 2)
}
