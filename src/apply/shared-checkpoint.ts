import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import type { Pgno } from '../ltx/format/types.ts'
import { FRAME_HEADER_SIZE, frameField, frameOffset, frameSize } from '../sqlite/wal.ts'
import type { WalIndexHeader } from '../sqlite/wal-index.ts'
import { WalGuardError } from './errors.ts'
import type { SharedDatabase } from './shared-database.ts'
import type { SharedWalIndex } from './shared-wal-index.ts'
import type { Page } from './transaction.ts'

/** What is read of the WAL at a time. */
const CHUNK_BYTES = 4 << 20
/** Frames of one pass. */
const MAX_FRAMES = 1 << 16
/** Passes before the moment in which nobody writes, by which a checkpoint comes near writers at full speed. */
const MAX_PASSES = 4
/**
 * Frames that may be left for the moment in which nobody writes: so many, or this share of the WAL, so that it takes
 * longer before it gets without bound.
 */
const FEW_FRAMES = 128
const FEW_SHARE = 1 / 32
/** How often the write lock is tried for, with a pause after each burst. */
const BURSTS = 5
const BURST_TRIES = 200
const PAUSE_MS = 2
/** Readers that were there when everything was copied are waited for, as long as this, while nobody writes. */
const READERS_MS = 5

export type CheckpointState =
  /** All frames are in the database file. */
  | 'complete'
  /** Writers went on meanwhile. */
  | 'behind'
  /** A reader needs an older state. */
  | 'blocked'
  /** Stopped; or SQLite has to rebuild the wal-index. */
  | 'abandoned'

export interface CheckpointOutcome {
  readonly state: CheckpointState
  /** Written into the database file. */
  readonly pages: number
}

export interface SharedCheckpointOptions {
  /**
   * Makes durable what was committed so far: what a power loss could take back must not get into the file, or nothing
   * would tell what was there before.
   */
  readonly makeDurable: () => Promise<void>
  /** Is asked every few milliseconds. */
  readonly isStopped: () => boolean
}

/**
 * SQLite's PASSIVE checkpoint of a database that others write meanwhile, and, where the WAL got long, what its RESTART
 * checkpoint adds to it. Unlike SQLite up to 3.51.2, it looks at the wal-index only once nobody can begin the WAL anew:
 * so it never takes frames of one generation for those of another. Source: wal.c, walCheckpoint and
 * sqlite3WalCheckpoint.
 */
export class SharedCheckpoint {
  readonly #database: SharedDatabase
  readonly #index: SharedWalIndex
  readonly #options: SharedCheckpointOptions
  #pages = 0
  #buffer = new Uint8Array(0)

  /** Under the checkpoint lock and those of `database` and `index.join()`. */
  constructor(database: SharedDatabase, index: SharedWalIndex, options: SharedCheckpointOptions) {
    this.#database = database
    this.#index = index
    this.#options = options
  }

  /** Copies what readers allow. Nobody waits for it. Throws WalGuardError. */
  async run(): Promise<CheckpointOutcome> {
    const state = await this.#pass(() => this.#yield())
    return { state, pages: this.#pages }
  }

  /** The same again and again, until little is left. Throws WalGuardError. */
  async runNearEnd(): Promise<CheckpointOutcome> {
    let state: CheckpointState = 'behind'
    for (let pass = 0; pass < MAX_PASSES && state === 'behind' && !this.#isNearEnd(); pass++) {
      state = await this.#pass(() => this.#yield())
    }
    return { state, pages: this.#pages }
  }

  /**
   * The same, and then the rest while no transaction can begin, so that the next one begins the WAL anew. That takes
   * some milliseconds, which busy handlers bridge. Throws WalGuardError.
   */
  async runAndRestart(): Promise<CheckpointOutcome> {
    const { state } = await this.runNearEnd()
    if ((state !== 'behind' && state !== 'complete') || !(await this.#keepUnwritten())) {
      return { state, pages: this.#pages }
    }
    try {
      if (!this.#isNearEnd()) return { state: 'behind', pages: this.#pages }
      const last = await this.#pass(() => Promise.resolve(true))
      // Whoever reads from here on takes the file: then nothing keeps the next writer from beginning anew.
      const until = performance.now() + READERS_MS
      while (last === 'complete' && !this.#index.isUnread && performance.now() < until);
      return { state: last, pages: this.#pages }
    } finally {
      this.#index.letBeWritten()
    }
  }

  /**
   * Whether the WAL holds nothing that its index does not know: frames of this generation beyond its last one may be a
   * transaction that was committed and not published, which SQLite brings back when it reads the WAL anew.
   */
  endsWithIndex(): boolean {
    const header = this.#index.header()
    if (header === undefined) return false
    const bytes = new Uint8Array(FRAME_HEADER_SIZE)
    const view = new DataView(bytes.buffer)
    const n = this.#database.readWal(bytes, FRAME_HEADER_SIZE, frameOffset(header.maxFrame, header.pageSize))
    const isOfThisGeneration = frameField.salt1(view, 0) === header.salt1 && frameField.salt2(view, 0) === header.salt2
    return n < FRAME_HEADER_SIZE || !isOfThisGeneration
  }

  /** `pause`: false where it shall not go on. */
  async #pass(pause: () => Promise<boolean>): Promise<CheckpointState> {
    const index = this.#index
    if (!index.keepFileUnread()) return 'blocked'
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
    } finally {
      index.letFileBeRead()
    }
  }

  /**
   * More frames are marked as copied than there are: readers skip what is committed next. Where nothing has been yet,
   * that is undone (a writer died as it began the WAL anew); else it is too late, since writers may have built on what
   * they read.
   */
  #correct({ maxFrame }: WalIndexHeader, backfilled: number): void {
    if (maxFrame > 0) throw new WalGuardError(`of ${maxFrame} frames of the WAL ${backfilled} are marked as copied`)
    this.#index.marks.setBackfilled(0)
  }

  /** All up to `safe` is in the file. */
  #finish({ salt1, salt2, pageSize, sizePages }: WalIndexHeader, safe: number): CheckpointState {
    const now = this.#index.header()
    if (now === undefined) return 'abandoned'
    if (now.salt1 !== salt1 || now.salt2 !== salt2 || now.maxFrame < safe) {
      throw new WalGuardError('the WAL was begun anew while a checkpoint copied it')
    }
    const isAll = now.maxFrame === safe
    // The file needs no fsync before the WAL may go: the log is kept until the file has been synced, and recovery
    // replays it.
    if (isAll) this.#database.resize(sizePages * pageSize)
    this.#index.marks.setBackfilled(safe)
    return isAll ? 'complete' : 'behind'
  }

  /** False when it was stopped half-way: the frames are copied again another time. */
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

  /** Of these frames those that hold the newest version of their page, in the order of the file. */
  #read(header: WalIndexHeader, from: number, to: number, newest: ReadonlyMap<Pgno, number>): Page[] {
    const { pageSize, sizePages, salt1, salt2 } = header
    const size = frameSize(pageSize)
    const length = (to - from + 1) * size
    if (this.#buffer.length < length) this.#buffer = new Uint8Array(length)
    const bytes = this.#buffer
    const view = new DataView(bytes.buffer)
    const n = this.#database.readWal(bytes, length, frameOffset(from - 1, pageSize))
    if (n < length) throw new WalGuardError(`the WAL ends before frame ${to}, which its index knows`)
    const pages: Page[] = []
    for (let frame = from, at = 0; frame <= to; frame++, at += size) {
      const pgno = frameField.pgno(view, at)
      if (!newest.has(pgno) || frameField.salt1(view, at) !== salt1 || frameField.salt2(view, at) !== salt2) {
        throw new WalGuardError(`frame ${frame} of the WAL is not the one that its index knows`)
      }
      if (newest.get(pgno) !== frame || pgno > sizePages) continue
      pages.push({ pgno, page: bytes.subarray(at + FRAME_HEADER_SIZE, at + size) })
    }
    return pages.sort((a, b) => a.pgno - b.pgno)
  }

  /** Of the frames few are not in the file. */
  #isNearEnd(): boolean {
    const maxFrame = this.#index.header()?.maxFrame ?? 0
    return maxFrame - this.#index.marks.backfilled() <= Math.max(FEW_FRAMES, maxFrame * FEW_SHARE)
  }

  async #yield(): Promise<boolean> {
    await setImmediate()
    return !this.#options.isStopped()
  }

  /** Between two transactions. False when they follow too closely, or one takes long. */
  async #keepUnwritten(): Promise<boolean> {
    for (let burst = 0; burst < BURSTS && !this.#options.isStopped(); burst++) {
      for (let left = BURST_TRIES; left > 0; left--) if (this.#index.keepUnwritten()) return true
      await sleep(PAUSE_MS)
    }
    return false
  }
}
