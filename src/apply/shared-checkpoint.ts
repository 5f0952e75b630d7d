import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import type { Pgno } from '../ltx/format/types.ts'
import { FRAME_HEADER_SIZE, frameField, frameOffset, frameSize } from '../sqlite/wal.ts'
import type { WalIndexHeader } from '../sqlite/wal-index.ts'
import { WalGuardError } from './errors.ts'
import type { SharedDatabase } from './shared-database.ts'
import type { SharedWalIndex } from './shared-wal-index.ts'
import type { Page } from './transaction.ts'

/** How many bytes of the WAL are read at a time. */
const CHUNK_BYTES = 4 << 20
/** How many frames one pass copies at most. */
const MAX_FRAMES = 1 << 16
/** How many passes a checkpoint makes before it takes the write lock, to catch up with fast writers. */
const MAX_PASSES = 4
/**
 * How many frames may be left to copy under the write lock: this number, or this share of the WAL, whichever is more.
 * With the share, the lock is held somewhat longer, but the WAL cannot grow without bound.
 */
const FEW_FRAMES = 128
const FEW_SHARE = 1 / 32
/** How often a checkpoint tries to take the write lock. It pauses after each burst of attempts. */
const BURSTS = 5
const BURST_TRIES = 200
const PAUSE_MS = 2
/** How long a complete checkpoint waits, under the write lock, for readers that still use the WAL. */
const READERS_MS = 5

export type CheckpointState =
  /** All frames are in the database file. */
  | 'complete'
  /** Writers committed more frames meanwhile. */
  | 'behind'
  /** A reader needs an older state. */
  | 'blocked'
  /** The checkpoint was stopped, or SQLite has to rebuild the wal-index. */
  | 'abandoned'

export interface CheckpointOutcome {
  readonly state: CheckpointState
  /** How many pages were written into the database file. */
  readonly pages: number
}

export interface SharedCheckpointOptions {
  /**
   * Makes all commits so far durable in the log. A commit that a power loss could still undo must not reach the file:
   * nothing would hold the pages from before it.
   */
  readonly makeDurable: () => Promise<void>
  /** Checked every few milliseconds. */
  readonly isStopped: () => boolean
}

/**
 * SQLite's PASSIVE checkpoint of a database that others write meanwhile, and, for a long WAL, what its RESTART
 * checkpoint adds. Unlike SQLite up to 3.51.2, it reads the wal-index only once no writer can restart the WAL, so it
 * never mistakes frames of one generation for those of another. Source: wal.c, walCheckpoint and sqlite3WalCheckpoint.
 */
export class SharedCheckpoint {
  readonly #database: SharedDatabase
  readonly #index: SharedWalIndex
  readonly #options: SharedCheckpointOptions
  #pages = 0
  #buffer = new Uint8Array(0)

  /** The caller holds the checkpoint lock, and the locks of `database` and of `index.join()`. */
  constructor(database: SharedDatabase, index: SharedWalIndex, options: SharedCheckpointOptions) {
    this.#database = database
    this.#index = index
    this.#options = options
  }

  /** Copies the frames that no reader's snapshot forbids. No reader and no writer waits. Throws WalGuardError. */
  async run(): Promise<CheckpointOutcome> {
    const state = await this.#pass(() => this.#yield())
    return { state, pages: this.#pages }
  }

  /** Makes such passes until few frames are left. Throws WalGuardError. */
  async runNearEnd(): Promise<CheckpointOutcome> {
    let state: CheckpointState = 'behind'
    for (let pass = 0; pass < MAX_PASSES && state === 'behind' && !this.#isNearEnd(); pass++) {
      state = await this.#pass(() => this.#yield())
    }
    return { state, pages: this.#pages }
  }

  /**
   * Then copies the rest under the write lock, so that the next transaction restarts the WAL. Writers wait some
   * milliseconds, which busy handlers bridge. Throws WalGuardError.
   */
  async runAndRestart(): Promise<CheckpointOutcome> {
    const { state } = await this.runNearEnd()
    if ((state !== 'behind' && state !== 'complete') || !(await this.#lockWrites())) {
      return { state, pages: this.#pages }
    }
    try {
      if (!this.#isNearEnd()) return { state: 'behind', pages: this.#pages }
      const last = await this.#pass(() => Promise.resolve(true))
      // New readers use the file from here on. Once no reader uses the WAL, the next writer restarts it.
      const until = performance.now() + READERS_MS
      while (last === 'complete' && !this.#index.isUnread && performance.now() < until);
      return { state: last, pages: this.#pages }
    } finally {
      this.#index.unlockWrites()
    }
  }

  /**
   * Whether everything in the WAL is in the file, and it ends where its index does. Further frames of this generation
   * may be a transaction that was committed but not published in the index. SQLite brings it back when it recovers the
   * WAL.
   */
  isWhole(): boolean {
    const header = this.#index.header()
    if (header === undefined || this.#index.marks.backfilled() !== header.maxFrame) return false
    const bytes = new Uint8Array(FRAME_HEADER_SIZE)
    const view = new DataView(bytes.buffer)
    const n = this.#database.readWal(bytes, FRAME_HEADER_SIZE, frameOffset(header.maxFrame, header.pageSize))
    const isOfThisGeneration = frameField.salt1(view, 0) === header.salt1 && frameField.salt2(view, 0) === header.salt2
    return n < FRAME_HEADER_SIZE || !isOfThisGeneration
  }

  /** One pass. It stops when `pause` returns false. */
  async #pass(pause: () => Promise<boolean>): Promise<CheckpointState> {
    const index = this.#index
    if (!index.lockFileReads()) return 'blocked'
    try {
      const header = index.header()
      if (header === undefined) return 'abandoned'
      const { maxFrame } = header
      const backfilled = index.marks.backfilled()
      if (backfilled > maxFrame) this.#correct(header, backfilled)
      if (backfilled >= maxFrame) return 'complete'
      const safe = Math.min(index.marks.safeFrame(maxFrame), backfilled + MAX_FRAMES)
      if (safe <= backfilled) return 'blocked'
      index.marks.setBackfilled(backfilled, safe)
      await this.#options.makeDurable()
      if (!(await this.#copy(header, backfilled + 1, safe, pause))) return 'abandoned'
      return this.#finish(header, safe)
    } catch (error) {
      // All connections have closed meanwhile, and a new one empties the index, to rebuild it from the WAL.
      if (error instanceof WalGuardError && index.header() === undefined) return 'abandoned'
      throw error
    } finally {
      index.unlockFileReads()
    }
  }

  /**
   * More frames are marked as copied than the WAL has, so readers would skip the next commits. In a WAL without frames
   * this is corrected (a writer died while it restarted the WAL). Otherwise it is too late: writers may already have
   * built on wrong reads.
   */
  #correct({ maxFrame }: WalIndexHeader, backfilled: number): void {
    if (maxFrame > 0) throw new WalGuardError(`the WAL has ${maxFrame} frames, but ${backfilled} are marked as copied`)
    this.#index.marks.setBackfilled(0)
  }

  /** Marks the frames up to `safe` as copied, if the WAL is still the same. */
  #finish({ salt1, salt2, pageSize, sizePages }: WalIndexHeader, safe: number): CheckpointState {
    const now = this.#index.header()
    if (now === undefined) return 'abandoned'
    if (now.salt1 !== salt1 || now.salt2 !== salt2 || now.maxFrame < safe) {
      throw new WalGuardError('the WAL restarted while a checkpoint copied it')
    }
    const isAll = now.maxFrame === safe
    // The file needs no fsync before the WAL restarts or is removed: the log is retained until the file has been
    // synced, and recovery replays it.
    if (isAll) this.#database.resize(sizePages * pageSize)
    this.#index.marks.setBackfilled(safe)
    return isAll ? 'complete' : 'behind'
  }

  /** False when it was stopped half-way: the next checkpoint copies the frames again. */
  async #copy(header: WalIndexHeader, first: number, last: number, pause: () => Promise<boolean>): Promise<boolean> {
    const newest = new Map<Pgno, number>()
    let frame = first
    for (const pgno of this.#index.pageNumbers(first, last)) newest.set(pgno, frame++)
    const perChunk = Math.max(1, Math.floor(CHUNK_BYTES / frameSize(header.pageSize)))
    for (let from = first; from <= last; from += perChunk) {
      const to = Math.min(last, from + perChunk - 1)
      const pages = this.#read(header, from, to, newest)
      for (const run of this.#database.runsOf(pages, header.pageSize)) {
        this.#database.writeRun(run, header.pageSize)
        if (!(await pause())) return false
      }
      this.#pages += pages.length
    }
    return true
  }

  /** The pages whose newest version is in one of these frames, in ascending order. */
  #read(header: WalIndexHeader, from: number, to: number, newest: ReadonlyMap<Pgno, number>): Page[] {
    const { pageSize, sizePages, salt1, salt2 } = header
    const size = frameSize(pageSize)
    const length = (to - from + 1) * size
    if (this.#buffer.length < length) this.#buffer = new Uint8Array(length)
    const bytes = this.#buffer
    const view = new DataView(bytes.buffer)
    const n = this.#database.readWal(bytes, length, frameOffset(from - 1, pageSize))
    if (n < length) throw new WalGuardError(`the WAL ends before frame ${to}, which its index lists`)
    const pages: Page[] = []
    for (let frame = from, at = 0; frame <= to; frame++, at += size) {
      const pgno = frameField.pgno(view, at)
      if (!newest.has(pgno) || frameField.salt1(view, at) !== salt1 || frameField.salt2(view, at) !== salt2) {
        throw new WalGuardError(`frame ${frame} of the WAL is not the one that its index lists`)
      }
      if (newest.get(pgno) !== frame || pgno > sizePages) continue
      pages.push({ pgno, page: bytes.subarray(at + FRAME_HEADER_SIZE, at + size) })
    }
    return pages.sort((a, b) => a.pgno - b.pgno)
  }

  /** Whether few frames are left to copy. */
  #isNearEnd(): boolean {
    const maxFrame = this.#index.header()?.maxFrame ?? 0
    return maxFrame - this.#index.marks.backfilled() <= Math.max(FEW_FRAMES, maxFrame * FEW_SHARE)
  }

  async #yield(): Promise<boolean> {
    await setImmediate()
    return !this.#options.isStopped()
  }

  /** Takes the write lock between two transactions. False when they follow too closely, or one takes long. */
  async #lockWrites(): Promise<boolean> {
    for (let burst = 0; burst < BURSTS && !this.#options.isStopped(); burst++) {
      for (let left = BURST_TRIES; left > 0; left--) if (this.#index.lockWrites()) return true
      await sleep(PAUSE_MS)
    }
    return false
  }
}
