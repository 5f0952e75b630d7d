import assert from 'node:assert/strict'
import { pageChecksum } from '../ltx/format/checksum.ts'
import type { Pgno } from '../ltx/format/types.ts'
import { lockPgno } from '../ltx/format/types.ts'
import type { WalHeader } from '../sqlite/wal.ts'
import {
  FRAME_HEADER_SIZE,
  frameField,
  frameOffset,
  frameSize,
  parseWalHeader,
  WAL_HEADER_SIZE,
  WalChecksum,
} from '../sqlite/wal.ts'
import { assertLogged } from './acknowledgement.ts'
import type { CapturedDatabase } from './captured-database.ts'
import { isExplainedGrowth, missingPages, sizeOfFile } from './growth.ts'
import { RejectedCommit } from './rejected-commit.ts'
import { rejectGrowth } from './rejection.ts'
import { UncommittedFrames } from './uncommitted-frames.ts'
import { followFile, undoAbandoned } from './wal-correction.ts'

/**
 * Tracks a WAL as it is written. Bytes are tracked by offset, never by the sizes of writes: a frame can arrive in
 * pieces, and a chain of frames can become valid late, when SQLite rewrites the checksums of earlier frames at commit.
 *
 *   header | frames of captured transactions | valid frames not committed yet | older content
 *          32                          committedEnd                     validEnd
 *
 * The write that makes the chain valid up to a commit frame captures the transaction. That write comes before SQLite
 * publishes the transaction in the wal-index, so no reader and no checkpoint can be ahead of the log.
 */
export class WalTracker {
  readonly #database: CapturedDatabase
  #header: WalHeader | undefined
  /** The chain of checksums is valid up to here, and these are its running sums. */
  #validEnd = 0
  #sum1 = 0
  #sum2 = 0
  #committedEnd = 0
  /** The end of what was written since the WAL began. Bytes beyond it belong to an older generation. */
  #writtenEnd = 0
  /** The valid frames that are not committed yet. */
  readonly #uncommitted = new UncommittedFrames()
  readonly #checksum = new WalChecksum()
  readonly #rejected = new RejectedCommit()

  constructor(database: CapturedDatabase) {
    this.#database = database
  }

  /** Whether the WAL has a valid header. */
  get following(): boolean {
    return this.#header !== undefined
  }

  /** The application writes to the WAL. `perform` writes the bytes to the backing file. */
  write(data: Uint8Array, position: number, perform: () => void): void {
    this.#rejected.assertRewritten(position)
    if (position < this.#committedEnd && !this.#holds(data, position)) {
      if (position < WAL_HEADER_SIZE) followFile(this.#database, 'a new WAL begins')
      else this.#abandonFrom(position)
    } else if (position + data.length <= this.#committedEnd) {
      return perform()
    }
    perform()
    this.#writtenEnd = Math.max(this.#writtenEnd, position + data.length)
    if (position < WAL_HEADER_SIZE) this.#begin(position + data.length)
    if (this.#header === undefined) return
    if (position < this.#validEnd) this.#rewindTo(position)
    this.#advance(data, position)
  }

  /** The WAL is about to be truncated. */
  truncate(sizeBytes: number, perform: () => void): void {
    if (sizeBytes < this.#committedEnd) followFile(this.#database, 'the WAL is truncated')
    perform()
    if (sizeBytes < this.#committedEnd || sizeBytes === 0) this.forget()
    else this.#writtenEnd = Math.min(this.#writtenEnd, Math.max(sizeBytes, this.#validEnd))
  }

  /** The WAL is about to be removed, because its last connection closed. */
  remove(perform: () => void): void {
    followFile(this.#database, 'the WAL is removed')
    perform()
    this.forget()
  }

  /** Forgets the WAL's content. */
  forget(): void {
    this.#header = undefined
    this.#validEnd = this.#committedEnd = this.#writtenEnd = this.#uncommitted.length = 0
    this.#rejected.forget()
    this.#database.pages.forgetWal()
  }

  /** Captures the transactions of a WAL that was written before its database was tracked. */
  adopt(sizeBytes: number): void {
    this.forget()
    this.#writtenEnd = sizeBytes
    this.#begin(sizeBytes)
    if (this.#header !== undefined) this.#advance(nothing, 0)
  }

  #begin(writtenEnd: number): void {
    this.forget()
    const bytes = new Uint8Array(WAL_HEADER_SIZE)
    const n = this.#read(bytes, 0, WAL_HEADER_SIZE)
    const header = parseWalHeader(bytes.subarray(0, n))
    if (header === undefined || header.pageSize !== this.#database.pageSize) return
    this.#header = header
    this.#validEnd = this.#committedEnd = WAL_HEADER_SIZE
    this.#writtenEnd = writtenEnd
    this.#sum1 = header.checksum1
    this.#sum2 = header.checksum2
  }

  /** Advances over each frame that is valid now, and captures each transaction that ends in one. */
  #advance(data: Uint8Array, position: number): void {
    const header = this.#header as WalHeader
    const size = frameSize(header.pageSize)
    while (this.#validEnd + size <= this.#writtenEnd) {
      const frame = this.#frameAt(this.#validEnd, size, data, position)
      const view = new DataView(frame.buffer, frame.byteOffset, size)
      if (frameField.salt1(view, 0) !== header.salt1 || frameField.salt2(view, 0) !== header.salt2) return
      const pgno = frameField.pgno(view, 0)
      if (pgno === 0 || !this.#continuesChain(view, size)) return
      this.#uncommitted.push(pgno)
      const commit = frameField.commit(view, 0)
      if (commit !== 0) this.#capture(commit, this.#validEnd + size, frame)
      this.#validEnd += size
      this.#sum1 = this.#checksum.s1
      this.#sum2 = this.#checksum.s2
    }
  }

  /** The frame's bytes. SQLite usually writes header and page separately: one is in `data`, the other in the file. */
  #frameAt(at: number, size: number, data: Uint8Array, position: number): Uint8Array {
    const frame = frameBuffer.subarray(0, size)
    const pageAt = at + FRAME_HEADER_SIZE
    if (position <= pageAt && position + data.length >= at + size) {
      frame.set(data.subarray(pageAt - position, at + size - position), FRAME_HEADER_SIZE)
      this.#read(frame, at, FRAME_HEADER_SIZE)
    } else {
      this.#read(frame, at, size)
    }
    return frame
  }

  #continuesChain(view: DataView, size: number): boolean {
    const { bigEndianChecksums } = this.#header as WalHeader
    this.#checksum.set(this.#sum1, this.#sum2).update(view, 0, 8, bigEndianChecksums)
    this.#checksum.update(view, FRAME_HEADER_SIZE, size - FRAME_HEADER_SIZE, bigEndianChecksums)
    return this.#checksum.is(frameField.checksum1(view, 0), frameField.checksum2(view, 0))
  }

  /** Captures the uncommitted frames as one transaction; `last` is the commit frame. */
  #capture(commit: number, end: number, last: Uint8Array): void {
    const database = this.#database
    const uncommitted = this.#uncommitted
    const { salt1, salt2 } = this.#header as WalHeader
    const first = this.#index(this.#committedEnd)
    if (this.#repeatsLast(commit, last)) return this.#committed(end)
    const span = { offset: this.#committedEnd, size: end - this.#committedEnd, salt1, salt2 }
    this.#assertExplained(commit, end)
    const newest = uncommitted.newest(commit, lockPgno(database.pageSize))
    const pgnos = missingPages(newest.pgnos, database.pages.sizePages, commit, database.pageSize)
    const lastIndex = uncommitted.length - 1
    const read = (pgno: Pgno) => {
      const at = newest.at(pgno)
      if (at === undefined) return database.readFile(pgno)
      return at === lastIndex ? last.subarray(FRAME_HEADER_SIZE) : database.readFrame(first + at)
    }
    const { appended } = database
    try {
      database.commit({ commit, pgnos, read, wal: span })
      assertLogged(database, appended)
    } catch (error) {
      this.#rejectCommit(end, error)
      throw error
    }
    for (const pgno of newest.pgnos) database.pages.setFrame(pgno, first + (newest.at(pgno) as number))
    if (newest.at(1) !== undefined) database.walMode = database.readFrame(first + (newest.at(1) as number))[19] === 2
    this.#committed(end)
    database.publish()
  }

  /** Throws FsError if the commit frame claims more pages than the frames before it explain (I10). */
  #assertExplained(commit: number, end: number): void {
    const { pages, pageSize, events, name } = this.#database
    if (isExplainedGrowth(this.#uncommitted.length, pages.sizePages, commit, pageSize)) return
    const error = rejectGrowth(events, name, commit)
    this.#rejectCommit(end, error)
    throw error
  }

  #committed(end: number): void {
    assert.ok(end > this.#committedEnd && end <= this.#writtenEnd, 'a captured transaction ends in written frames')
    this.#committedEnd = end
    this.#uncommitted.length = 0
  }

  /** Whether the frame only repeats the last one, as SQLite does to pad a commit to a sector. */
  #repeatsLast(commit: number, last: Uint8Array): boolean {
    const { pages } = this.#database
    const pgno = this.#uncommitted.only()
    if (pgno === undefined || commit !== pages.sizePages || pages.frame(pgno) !== this.#index(this.#committedEnd) - 1)
      return false
    return pageChecksum(pgno, last.subarray(FRAME_HEADER_SIZE)) === pages.checksum(pgno)
  }

  /** Rejects the commit that ends here: its frame is invalidated, so that no recovery finds it. */
  #rejectCommit(end: number, error: unknown): void {
    const at = end - frameSize((this.#header as WalHeader).pageSize)
    this.#uncommitted.length--
    this.#rejected.set(at, end, error)
    this.#database.files.write(this.#database.walFd, zeros, 0, FRAME_HEADER_SIZE, at)
  }

  /** SQLite rewrites valid but uncommitted frames from `position` on. */
  #rewindTo(position: number): void {
    const frame = Math.max(this.#index(position), this.#index(this.#committedEnd))
    const at = frameOffset(frame, (this.#header as WalHeader).pageSize)
    if (at >= this.#validEnd) return
    this.#validEnd = at
    this.#uncommitted.length = frame - this.#index(this.#committedEnd)
    this.#loadSums()
  }

  /** Loads the running sums at `validEnd`: the frame before it carries them. */
  #loadSums(): void {
    const header = this.#header as WalHeader
    this.#sum1 = header.checksum1
    this.#sum2 = header.checksum2
    if (this.#validEnd === WAL_HEADER_SIZE) return
    const bytes = frameBuffer.subarray(0, FRAME_HEADER_SIZE)
    this.#read(bytes, this.#validEnd - frameSize(header.pageSize), FRAME_HEADER_SIZE)
    const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_HEADER_SIZE)
    this.#sum1 = frameField.checksum1(view, 0)
    this.#sum2 = frameField.checksum2(view, 0)
  }

  /**
   * Called before different bytes overwrite frames of captured transactions. The writer does not know those
   * transactions, so SQLite never published them: the application died, or got an error, after their commit frame. A
   * transaction that restores what they changed undoes them first.
   */
  #abandonFrom(position: number): void {
    const database = this.#database
    const size = frameSize(database.pageSize)
    const believed = new Map<Pgno, number>()
    const pending: [Pgno, number][] = []
    let boundary = WAL_HEADER_SIZE
    let commit = 0
    const abandoned = new Set<Pgno>()
    const bytes = new Uint8Array(FRAME_HEADER_SIZE)
    const view = new DataView(bytes.buffer)
    for (let at = WAL_HEADER_SIZE, index = 0; at < this.#committedEnd; at += size, index++) {
      this.#read(bytes, at, FRAME_HEADER_SIZE)
      const pgno = frameField.pgno(view, 0)
      if (at + size > position) abandoned.add(pgno)
      else pending.push([pgno, index])
      if (at + size > position || frameField.commit(view, 0) === 0) continue
      for (const [page, frame] of pending.splice(0)) believed.set(page, frame)
      boundary = at + size
      commit = frameField.commit(view, 0)
    }
    for (const [pgno] of pending) abandoned.add(pgno)
    if (boundary === WAL_HEADER_SIZE) commit = sizeOfFile(database)
    const { salt1, salt2 } = this.#header as WalHeader
    const span = { offset: boundary, size: this.#committedEnd - boundary, salt1, salt2 }
    undoAbandoned(database, { abandoned, believed, commit, span })
    this.#committedEnd = this.#validEnd = boundary
    this.#uncommitted.length = 0
    this.#loadSums()
  }

  /** Whether the captured part of the WAL already holds exactly these bytes at `position`. */
  #holds(data: Uint8Array, position: number): boolean {
    const length = Math.min(data.length, this.#committedEnd - position)
    const present = new Uint8Array(length)
    const n = this.#read(present, position, length)
    return n === length && Buffer.compare(present, data.subarray(0, length)) === 0
  }

  #index(offset: number): number {
    return Math.floor((offset - WAL_HEADER_SIZE) / frameSize((this.#header as WalHeader).pageSize))
  }

  #read(into: Uint8Array, position: number, length: number): number {
    assert.ok(this.#database.walFd >= 0, 'the WAL is open while it is tracked')
    return this.#database.files.read(this.#database.walFd, into, 0, length, position)
  }
}

const nothing = new Uint8Array(0)
const zeros = new Uint8Array(FRAME_HEADER_SIZE)
/** Shared by all trackers of the thread. */
const frameBuffer = new Uint8Array(FRAME_HEADER_SIZE + 65536)
