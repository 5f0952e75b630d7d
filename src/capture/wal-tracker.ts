import assert from 'node:assert/strict'
import type { WalHeader } from '../sqlite/wal.ts'
import { FRAME_HEADER_SIZE, frameField, WAL_HEADER_SIZE } from '../sqlite/wal.ts'
import type { CapturedDatabase } from './captured-database.ts'
import { endOfCommits } from './committed-end.ts'
import { assertGrowth } from './growth.ts'
import { RejectedCommit } from './rejected-commit.ts'
import { UncommittedFrames } from './uncommitted-frames.ts'
import { Unzeroed } from './unzeroed.ts'
import { captureFrames, repeatsLast } from './wal-capture.ts'
import type { Sums } from './wal-chain.ts'
import { WalChain } from './wal-chain.ts'
import { findAbandoned, followFile, undoAbandoned } from './wal-correction.ts'
import { headerAfter, WalFrames } from './wal-frames.ts'
import { mendFrames } from './wal-mending.ts'
import { WalOverwrites } from './wal-overwrites.ts'
import { rejectBrokenChain, rejectCut, rejectHeadless } from './wal-rejection.ts'

/**
 * Tracks a WAL as it is written. Bytes are tracked by offset, never by the sizes of writes: a frame can arrive in
 * pieces, and a chain of frames can become valid late, when SQLite rewrites the checksums of earlier frames at commit.
 *
 *   header | frames of captured transactions | valid frames not committed yet | older content
 *          32                          committedEnd                     validEnd
 *
 * The write that makes the chain valid up to a commit frame captures the transaction. That write comes before SQLite
 * publishes the transaction in the wal-index, so no reader and no checkpoint can be ahead of the log. A commit frame
 * that the chain does not reach is explained by what SQLite is known to write, or its write is rejected.
 */
export class WalTracker {
  readonly #database: CapturedDatabase
  /** undefined while the WAL has no valid header. */
  #frames: WalFrames | undefined
  /** The chain of checksums is valid up to here. */
  #validEnd = 0
  #committedEnd = 0
  /** The end of what was written since the WAL began. Bytes beyond it belong to an older generation. */
  #writtenEnd = 0
  /** The valid frames that are not committed yet. */
  readonly #uncommitted = new UncommittedFrames()
  /** Some of them are bare. */
  #hasBare = false
  readonly #chain = new WalChain()
  readonly #overwrites = new WalOverwrites()
  /** Where a bare commit frame begins whose header SQLite rewrites last; -1 if there is none. */
  #awaited = -1
  readonly #rejected = new RejectedCommit()
  readonly unzeroed: Unzeroed

  constructor(database: CapturedDatabase) {
    this.#database = database
    this.unzeroed = new Unzeroed(database)
  }

  /** Whether the WAL has a valid header. */
  get following(): boolean {
    return this.#frames !== undefined
  }

  /** What was captured of it; undefined while it has no valid header. */
  get captured(): { readonly header: WalHeader; readonly committedEnd: number } | undefined {
    return this.#frames && { header: this.#frames.header, committedEnd: this.#committedEnd }
  }

  /** The application writes to the WAL. `perform` writes the bytes to the backing file. Throws FsError. */
  write(data: Uint8Array, position: number, perform: () => void): void {
    this.unzeroed.retry()
    this.#rejected.assertRewritten(position)
    const end = position + data.length
    const header = position < WAL_HEADER_SIZE ? headerAfter(this.#database, data, position) : this.#frames?.header
    if (header === undefined && end > WAL_HEADER_SIZE) throw rejectHeadless(this.#database)
    if (position < this.#committedEnd) {
      if (this.#frames?.holds(data, position, this.#committedEnd) === false) this.#forsake(position)
      else if (end <= this.#committedEnd) return perform()
    }
    try {
      perform()
    } catch (error) {
      this.#failed(position, error)
      throw error
    }
    this.#writtenEnd = Math.max(this.#writtenEnd, end)
    if (this.#frames === undefined && header !== undefined) this.#begin(header, end)
    if (this.#frames !== undefined) this.#written(this.#frames, data, position)
  }

  /** The WAL is about to be truncated. Throws FsError. */
  truncate(sizeBytes: number, perform: () => void): void {
    if (sizeBytes > 0 && sizeBytes < this.#committedEnd) throw rejectCut(this.#database)
    if (sizeBytes === 0) followFile(this.#database, 'the WAL is truncated', this.captured)
    perform()
    if (sizeBytes === 0) return this.forget()
    if (sizeBytes < this.#validEnd) this.#rewindTo(this.#frames as WalFrames, sizeBytes)
    this.#writtenEnd = Math.min(this.#writtenEnd, sizeBytes)
  }

  /** The WAL is about to be removed, because its last connection closed. */
  remove(perform: () => void): void {
    followFile(this.#database, 'the WAL is removed', this.captured)
    perform()
    this.forget()
  }

  /** Forgets the WAL's content. */
  forget(): void {
    this.#frames = undefined
    this.#validEnd = this.#committedEnd = this.#writtenEnd = this.#uncommitted.length = 0
    this.#hasBare = false
    this.#awaited = -1
    this.#rejected.forget()
    this.unzeroed.forget()
    this.#database.pages.forgetWal()
  }

  /**
   * Captures the transactions of a WAL that was written before its database was tracked. SQLite takes a WAL without a
   * valid header for an empty one. Of an arriving WAL they are one transaction (arriving-wal.ts). Throws FsError.
   */
  adopt(sizeBytes: number, isArriving = false): void {
    this.unzeroed.retry()
    this.forget()
    const header = headerAfter(this.#database, nothing, 0)
    if (header === undefined) return
    const frames = this.#begin(header, sizeBytes)
    frames.isArriving = isArriving
    this.#advance(frames, nothing, 0, isArriving ? endOfCommits(frames, sizeBytes) : 0)
    frames.isArriving = false
  }

  #begin(header: WalHeader, writtenEnd: number): WalFrames {
    const frames = new WalFrames(this.#database, header)
    this.#frames = frames
    this.#validEnd = this.#committedEnd = WAL_HEADER_SIZE
    this.#writtenEnd = writtenEnd
    this.#chain.begin(header)
    return frames
  }

  /** Other bytes are about to replace captured ones: a new WAL begins, or a writer does not know them. */
  #forsake(position: number): void {
    if (position >= WAL_HEADER_SIZE) return this.#abandonFrom(position)
    followFile(this.#database, 'a new WAL begins', this.captured)
    this.forget()
  }

  #written(frames: WalFrames, data: Uint8Array, position: number): void {
    const end = position + data.length
    const isAppended = this.#overwrites.wrote(frames, position, end)
    const isHeader = end <= frames.offsetOf(frames.indexOf(end - 1)) + FRAME_HEADER_SIZE
    if (!isHeader) this.#awaited = -1
    if (position < this.#validEnd) this.#rewindTo(frames, position)
    this.#advance(frames, data, position)
    if (this.#validEnd < end) this.#examine(frames, position, end, isAppended)
  }

  /** Advances over each frame that is valid now, and captures each transaction that ends in one, at `from` or later. */
  #advance(frames: WalFrames, data: Uint8Array, position: number, from = 0): void {
    const { size } = frames
    while (this.#validEnd + size <= this.#writtenEnd) {
      const frame = frames.frameAt(this.#validEnd, data, position)
      const view = new DataView(frame.buffer, frame.byteOffset, size)
      const pgno = frameField.pgno(view, 0)
      if (pgno === 0 || frames.saltsOf(view) !== 'own') return
      if (!this.#chain.isContinuedBy(view, size, this.#validEnd === this.#committedEnd)) return
      this.#uncommitted.push(pgno)
      const commit = frameField.commit(view, 0)
      if (commit === 0 || this.#validEnd + size < from) this.#chain.accept()
      else this.#capture(frames, commit, frame)
      this.#validEnd += size
    }
  }

  /** Each frame that was completed, is not valid, and ends like a commit has to be explained. Throws FsError. */
  #examine(frames: WalFrames, position: number, end: number, isAppended: boolean): void {
    const { size } = frames
    for (let at = Math.max(frames.offsetOf(frames.indexOf(position)), this.#validEnd); at < end; at += size) {
      const isRewritten = at === this.#awaited && end === at + FRAME_HEADER_SIZE
      if (at + size > end && !isRewritten) return
      const header = frames.headerAt(at)
      const commit = frameField.commit(header, 0)
      if (commit === 0) continue
      const salts = frameField.pgno(header, 0) === 0 ? 'other' : frames.saltsOf(header)
      if (salts === 'bare') this.#bareCommit(frames, at, commit)
      // A WAL that is copied may end in frames of former generations. No writer appends one.
      else if (salts === 'own' || isAppended) this.#rejectBroken(frames, at)
    }
  }

  /** A bare commit frame (wal-overwrites.ts). Throws FsError. */
  #bareCommit(frames: WalFrames, at: number, commit: number): void {
    const bare = this.#overwrites.explain(frames, at, this.#validEnd)
    if (bare === undefined) return this.#rejectBroken(frames, at)
    const { pgnos, isFinal, sums } = bare
    for (const pgno of pgnos) this.#uncommitted.push(pgno)
    this.#hasBare ||= pgnos.length > 0
    this.#validEnd += pgnos.length * frames.size
    if (!isFinal) {
      if (sums !== undefined) this.#chain.continueFrom(sums)
      this.#awaited = at
      return
    }
    this.#validEnd = at
    this.#capture(frames, commit, frames.frameAt(at), sums)
    this.#validEnd += frames.size
  }

  /**
   * Captures the uncommitted frames as one transaction. `last` is the commit frame, at `validEnd`. `published`: the
   * sums that its writer continues, if not those of that frame.
   */
  #capture(frames: WalFrames, commit: number, last: Uint8Array, published?: Sums): void {
    const database = this.#database
    const start = this.#committedEnd
    const end = this.#validEnd + frames.size
    const span = frames.span(start, end)
    try {
      assertGrowth(database, this.#uncommitted.length, commit)
      const mends = this.#hasBare || this.#chain.isSkewed
      const mended = mends ? mendFrames(database, frames, start, end, this.#chain.file) : undefined
      const uncommitted = this.#uncommitted
      const { pageSize } = frames.header
      const committed = { uncommitted, pageSize, first: frames.indexOf(start), last, commit, span }
      const repeats = repeatsLast(database, committed)
      if (!repeats) captureFrames(database, committed)
      this.#committed(end)
      this.#chain.commit(end, published, mended)
      if (mends) database.events.mended(`${database.name}-wal`)
      if (!repeats) database.publish()
    } catch (error) {
      if (this.#committedEnd === start) this.#reject(frames, this.#validEnd, error)
      throw error
    }
  }

  #committed(end: number): void {
    assert.ok(end > this.#committedEnd && end <= this.#writtenEnd, 'a captured transaction ends in written frames')
    this.#committedEnd = end
    this.#uncommitted.length = 0
    this.#hasBare = false
    this.#awaited = -1
  }

  /** The frame at `at` is no commit: it is invalidated, so that no recovery finds it. */
  #reject(frames: WalFrames, at: number, error: unknown): void {
    this.#uncommitted.length = frames.indexOf(this.#validEnd) - frames.indexOf(this.#committedEnd)
    this.#awaited = -1
    this.#rejected.set(at, at + frames.size, error)
    // A file that is not the WAL yet belongs to who wrote it.
    if (!frames.isArriving) this.unzeroed.zero(at)
  }

  #rejectBroken(frames: WalFrames, at: number): never {
    const error = rejectBrokenChain(this.#database)
    this.#reject(frames, at, error)
    throw error
  }

  /** A failed write may have left any part of its bytes in the file, and with them a commit that was not captured. */
  #failed(position: number, error: unknown): void {
    const frames = this.#frames
    if (frames === undefined) return this.unzeroed.zero(0)
    const at = Math.max(frames.offsetOf(frames.indexOf(position)), this.#committedEnd)
    this.#rewindTo(frames, at)
    this.#rejected.set(at, at + frames.size, error)
    this.unzeroed.zero(at)
  }

  /** SQLite rewrites valid but uncommitted frames from `position` on. */
  #rewindTo(frames: WalFrames, position: number): void {
    const committed = frames.indexOf(this.#committedEnd)
    const index = Math.max(frames.indexOf(position), committed)
    const at = frames.offsetOf(index)
    if (at >= this.#validEnd) return
    this.#validEnd = at
    this.#uncommitted.length = index - committed
    if (index > committed) return this.#chain.continueFrom(frames.sumsBefore(at))
    this.#hasBare = false
    this.#chain.rewind()
  }

  /**
   * Called before different bytes overwrite frames of captured transactions. The writer does not know those
   * transactions, so SQLite never published them: the application died, or got an error, after their commit frame. A
   * transaction that restores what they changed undoes them first.
   */
  #abandonFrom(position: number): void {
    const frames = this.#frames as WalFrames
    const found = findAbandoned(this.#database, frames, this.#committedEnd, position)
    const { boundary } = found
    undoAbandoned(this.#database, { ...found, span: frames.span(boundary, this.#committedEnd) })
    this.#committedEnd = this.#validEnd = boundary
    this.#uncommitted.length = 0
    this.#hasBare = false
    this.#chain.abandonAfter(boundary, frames.sumsBefore(boundary))
  }
}

const nothing = new Uint8Array(0)
