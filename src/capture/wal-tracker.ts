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
import type { WalSpan } from './change.ts'
import { missingPages } from './growth.ts'

/**
 * Follows a WAL as it is written. Bytes are tracked by offset, never by the sizes of writes: a frame can come in pieces, and a chain of
 * frames can become valid late, when SQLite rewrites the checksums of earlier ones at commit.
 *
 *   header | frames of captured transactions | valid frames not committed yet | whatever lay there before
 *          32                          committedEnd                     validEnd
 *
 * A transaction is captured by the write that makes the chain valid up to a frame that ends a commit: before SQLite
 * publishes it in the wal-index, so that no reader and no checkpoint can be ahead of the log.
 */
export class WalTracker {
  readonly #database: CapturedDatabase
  #header: WalHeader | undefined
  /** The chain of checksums holds up to here, and these are its sums. */
  #validEnd = 0
  #sum1 = 0
  #sum2 = 0
  #committedEnd = 0
  /** Nothing beyond was written since the WAL was begun: what lies there is of an older generation. */
  #writtenEnd = 0
  /** Page numbers of the valid frames that are not committed yet. */
  readonly #uncommitted = new PgnoList()
  readonly #checksum = new WalChecksum()
  /** The frame whose commit was refused last, until it is written anew from its beginning. */
  #refused: { readonly at: number; readonly end: number; readonly error: unknown } | undefined

  constructor(database: CapturedDatabase) {
    this.#database = database
  }

  /** There is a valid header. */
  get following(): boolean {
    return this.#header !== undefined
  }

  /** The application writes to the WAL. `perform` writes the bytes to the backing file. */
  write(data: Uint8Array, position: number, perform: () => void): void {
    this.#refuseRest(position)
    if (position < this.#committedEnd && !this.#holds(data, position)) {
      if (position < WAL_HEADER_SIZE) this.#settle('a new WAL begins')
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
    if (sizeBytes < this.#committedEnd) this.#settle('the WAL is truncated')
    perform()
    if (sizeBytes < this.#committedEnd || sizeBytes === 0) this.forget()
    else this.#writtenEnd = Math.min(this.#writtenEnd, Math.max(sizeBytes, this.#validEnd))
  }

  /** The WAL is about to be removed: its last connection closed. */
  remove(perform: () => void): void {
    this.#settle('the WAL is removed')
    perform()
    this.forget()
  }

  /** Nothing of the WAL counts any more. */
  forget(): void {
    this.#header = undefined
    this.#validEnd = this.#committedEnd = this.#writtenEnd = 0
    this.#uncommitted.length = 0
    this.#refused = undefined
  }

  /** A WAL lies there that nobody wrote through the mount while its database was tracked: takes what it holds. */
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

  /** Takes in each frame that is valid now, and captures each transaction that they complete. */
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

  /** The frame's bytes: its header and page usually come in two writes, so one piece is at hand and one in the file. */
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

  /** The uncommitted frames, the last of which is `last`, are a transaction. */
  #capture(commit: number, end: number, last: Uint8Array): void {
    const database = this.#database
    const uncommitted = this.#uncommitted
    const { salt1, salt2 } = this.#header as WalHeader
    const first = this.#index(this.#committedEnd)
    if (this.#repeatsLast(commit, last)) return this.#committed(end)
    const span = { offset: this.#committedEnd, size: end - this.#committedEnd, salt1, salt2 }
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
      this.#refuse(end, error)
      throw error
    }
    for (const pgno of newest.pgnos) database.pages.setFrame(pgno, first + (newest.at(pgno) as number))
    if (newest.at(1) !== undefined) database.walMode = database.readFrame(first + (newest.at(1) as number))[19] === 2
    this.#committed(end)
    database.publish()
  }

  #committed(end: number): void {
    this.#committedEnd = end
    this.#uncommitted.length = 0
  }

  /** SQLite pads a commit to a sector by repeating its last frame: nothing new. */
  #repeatsLast(commit: number, last: Uint8Array): boolean {
    const { pages } = this.#database
    const pgno = this.#uncommitted.only()
    if (pgno === undefined || commit !== pages.sizePages || pages.frame(pgno) !== this.#index(this.#committedEnd) - 1)
      return false
    return pageChecksum(pgno, last.subarray(FRAME_HEADER_SIZE)) === pages.checksum(pgno)
  }

  /** The commit that ends here is refused: no later recovery may find it. */
  #refuse(end: number, error: unknown): void {
    const at = end - frameSize((this.#header as WalHeader).pageSize)
    this.#uncommitted.length--
    this.#refused = { at, end, error }
    this.#database.files.write(this.#database.walFd, zeros, 0, FRAME_HEADER_SIZE, at)
  }

  /**
   * The kernel cuts a write where a page of its cache begins. If only the last piece of a frame is refused, SQLite hears that some of it was
   * written, and tries the rest again: that must fail as well, or it takes the commit for done.
   */
  #refuseRest(position: number): void {
    const refused = this.#refused
    if (refused === undefined) return
    if (position > refused.at && position < refused.end) throw refused.error
    if (position <= refused.at) this.#refused = undefined
  }

  /** Frames that were valid but not committed are written anew from `position` on. */
  #rewindTo(position: number): void {
    const frame = Math.max(this.#index(position), this.#index(this.#committedEnd))
    const at = frameOffset(frame, (this.#header as WalHeader).pageSize)
    if (at >= this.#validEnd) return
    this.#validEnd = at
    this.#uncommitted.length = frame - this.#index(this.#committedEnd)
    this.#loadSums()
  }

  /** The sums at `validEnd`: those that the frame before it carries. */
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
   * Different bytes are about to be written into frames of captured transactions: whoever writes does not know of those, so they were
   * never published (the application died, or was told an error, after their commit frame). They are undone by a transaction
   * that restores what they changed, before the write is let through.
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
    if (boundary === WAL_HEADER_SIZE) commit = database.fileState()?.sizePages ?? database.pages.sizePages
    const { salt1, salt2 } = this.#header as WalHeader
    this.#restore(abandoned, believed, commit, { offset: boundary, size: this.#committedEnd - boundary, salt1, salt2 })
    this.#committedEnd = this.#validEnd = boundary
    this.#uncommitted.length = 0
    this.#loadSums()
  }

  /** `span` is where the undone frames lie, so that a recovery does not take them for news. */
  #restore(abandoned: ReadonlySet<Pgno>, believed: ReadonlyMap<Pgno, number>, commit: number, span: WalSpan): void {
    const database = this.#database
    const { pages, pageSize } = database
    const lost = database.position
    const sorted = Array.from(abandoned).sort((a, b) => a - b)
    const inside = sorted.filter((pgno) => pgno <= commit && pgno !== lockPgno(pageSize))
    const pgnos = missingPages(inside, pages.sizePages, commit, pageSize)
    const frames = new Map(pgnos.map((pgno) => [pgno, believed.get(pgno) ?? -1]))
    const read = (pgno: Pgno) => {
      const frame = frames.get(pgno) ?? -1
      return frame < 0 ? database.readFile(pgno) : database.readFrame(frame)
    }
    // Where all of it is about to be replaced, nothing needs to be undone in a history that ends.
    const replaced = !database.authority.leads && database.expectations.next(lost.txid)?.replaces !== undefined
    if (!replaced) database.commit({ commit, pgnos, read, wal: span })
    for (const pgno of sorted) pages.clearFrame(pgno)
    for (const [pgno, frame] of frames) if (frame >= 0) pages.setFrame(pgno, frame)
    if (replaced) return
    database.publish()
    database.events.log('warn', 'a captured transaction was never published by SQLite: undone by the next one', {
      database: database.name,
      abandoned: lost.txid.toString(),
      undoneBy: database.position.txid.toString(),
      pages: pgnos.length,
    })
  }

  /**
   * The WAL's content is about to go. Every committed page must have reached the database file by now (I11). Where one has not, the file is
   * what SQLite believes from here on: the log follows it, loudly, and the lost version stays restorable.
   */
  #settle(occasion: string): void {
    const database = this.#database
    const { pages } = database
    for (const pgno of Array.from(pages.listInWal())) {
      if (pageChecksum(pgno, database.readFile(pgno)) === pages.checksum(pgno)) pages.clearFrame(pgno)
    }
    if (pages.pagesInWal === 0) return database.publish()
    const lost = Array.from(pages.listInWal())
    const before = database.position
    const commit = database.fileState()?.sizePages ?? pages.sizePages
    const inside = lost.filter((pgno) => pgno <= commit)
    const pgnos = missingPages(inside, pages.sizePages, commit, database.pageSize)
    database.commit({ commit, pgnos, read: (pgno) => database.readFile(pgno) })
    for (const pgno of lost) pages.clearFrame(pgno)
    database.publish()
    database.events.guarded(database)
    database.events.log('error', `I11: ${occasion}, but committed pages never reached the database file`, {
      database: database.name,
      pages: lost.length,
      lastGood: before.txid.toString(),
      followedBy: database.position.txid.toString(),
    })
  }

  /** Whether the captured part of the WAL already has exactly these bytes here. */
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

/** A list of page numbers, one a frame, that is reused from transaction to transaction. */
class PgnoList {
  #items = new Uint32Array(64)
  length = 0

  push(pgno: Pgno): void {
    if (this.length === this.#items.length) {
      const larger = new Uint32Array(this.#items.length * 2)
      larger.set(this.#items)
      this.#items = larger
    }
    this.#items[this.length++] = pgno
  }

  /** The page, if there is just one. */
  only(): Pgno | undefined {
    return this.length === 1 ? this.#items[0] : undefined
  }

  /** Ascending distinct pages up to `commit`, and for each the index of the last frame that holds it. */
  newest(commit: number, lock: Pgno): { pgnos: Pgno[]; at: (pgno: Pgno) => number | undefined } {
    const { length } = this
    const items = this.#items
    if (length === 1) {
      const only = items[0] as Pgno
      return { pgnos: only <= commit && only !== lock ? [only] : [], at: (pgno) => (pgno === only ? 0 : undefined) }
    }
    const last = new Map<Pgno, number>()
    for (let i = 0; i < length; i++) last.set(items[i] as Pgno, i)
    const pgnos = Array.from(last.keys()).filter((pgno) => pgno <= commit && pgno !== lock)
    return { pgnos: pgnos.sort((a, b) => a - b), at: (pgno) => last.get(pgno) }
  }
}

const nothing = new Uint8Array(0)
const zeros = new Uint8Array(FRAME_HEADER_SIZE)
/** One for the thread. */
const frameBuffer = new Uint8Array(FRAME_HEADER_SIZE + 65536)
