import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import type { Pgno } from '../ltx/format/types.ts'
import type { ReadAt } from '../sqlite/journal.ts'
import { WAL_INDEX_LOCK } from '../sqlite/locks.ts'
import { NewestFrames } from '../sqlite/page-list.ts'
import type { PageTable } from '../sqlite/page-table.ts'
import { FRAME_HEADER_SIZE, frameOffset, frameSize, WAL_HEADER_SIZE } from '../sqlite/wal.ts'
import { isSameHeader, NATIVE_BIG_ENDIAN, READ_MARKS, type WalIndexHeader } from '../sqlite/wal-index.ts'
import { FrameChain, marshalWalHeader } from '../sqlite/wal-write.ts'
import { isAt, nodeFiles, readerOf } from '../util/files.ts'
import type { DatabaseFile } from './database-file.ts'
import { NotDatabaseError } from './errors.ts'
import type { Steps } from './steps.ts'
import type { Page } from './transaction.ts'
import { type CheckpointResult, readyPages, type WalTransaction } from './wal-frames.ts'
import { WalIndexFile } from './wal-index-file.ts'
import { framePgnos, headerWithRest, recoveredHeader } from './wal-recovery.ts'

const WRITE_PIECE_BYTES = 1 << 20
/** A WAL that has grown beyond this is truncated when it restarts. */
const MAX_REUSED_BYTES = 16 << 20

/**
 * The write-ahead log of a database and its index, from the side of the only writer and only checkpointer. It holds the
 * locks for both until it is closed, but for `unlockWrites`, while readers come and go.
 */
export class Wal {
  readonly #file: DatabaseFile
  readonly #fd: number
  readonly #readAt: ReadAt
  readonly #index: WalIndexFile
  #header: WalIndexHeader
  #backfilled: number
  #checkpointSequence: number
  #buffer = new Uint8Array(64 << 10)

  /** Recovers the WAL, as SQLite does, if nobody else has it open. Throws ApplyBlockedError, NotDatabaseError. */
  static open(file: DatabaseFile): Wal {
    const index = WalIndexFile.open(file)
    let fd: number | undefined
    try {
      fd = file.openBeside('-wal', fs.constants.O_RDWR | fs.constants.O_CREAT)
      return new Wal(file, index, fd)
    } catch (error) {
      if (fd !== undefined) nodeFiles.close(fd)
      index.close()
      throw error
    }
  }

  private constructor(file: DatabaseFile, index: WalIndexFile, fd: number) {
    this.#file = file
    this.#fd = fd
    this.#readAt = readerOf(nodeFiles, fd)
    this.#index = index
    const current = index.isFresh ? undefined : index.header()
    if (current === undefined) {
      this.#header = recoveredHeader(this.#readAt, this.sizeBytes)
      index.recover(this.#header, this.#framePgnos(this.#header))
    } else {
      index.resume(current.maxFrame)
      this.#header = this.#publishRest(current)
    }
    this.#backfilled = index.backfilled()
    const head = this.#readAt(12, 4)
    this.#checkpointSequence = head.length < 4 ? 0 : new DataView(head.buffer).getUint32(0)
  }

  /** Takes the write lock again. False if the index is not as this process left it. Throws ApplyBlockedError. */
  lockWrites(): boolean {
    this.#index.lockWrites()
    const header = this.#index.header()
    return header !== undefined && isSameHeader(header, this.#header)
  }

  unlockWrites(): void {
    this.#index.unlockWrites()
  }

  /** 0 before the first frame. */
  get pageSize(): number {
    return this.#header.pageSize
  }

  get frames(): number {
    return this.#header.maxFrame
  }

  /** The size of the database; undefined when the WAL has no transaction. */
  get sizePages(): number | undefined {
    return this.#header.sizePages === 0 ? undefined : this.#header.sizePages
  }

  get sizeBytes(): number {
    return nodeFiles.size(this.#fd)
  }

  /** The size of the WAL in bytes after a next transaction of `pages` pages. */
  sizeAfter(pages: number, pageSize: number): number {
    const { maxFrame } = this.#header
    const frames = maxFrame > 0 && this.#backfilled === maxFrame ? 0 : maxFrame
    return frameOffset(frames + pages, pageSize)
  }

  /** For each page whose newest version is not yet in the database file, or for `all`: its frame, numbered from 1. */
  *newestFrames(all = false): Generator<[Pgno, number]> {
    const { maxFrame, pageSize } = this.#header
    const backfilled = all ? 0 : Math.min(this.#backfilled, maxFrame)
    if (maxFrame > 0 && frameOffset(maxFrame, pageSize) > this.sizeBytes)
      throw new NotDatabaseError(`${this.#file.path}-wal`, 'ends before the last frame of its index')
    const pgnos = new Uint32Array(maxFrame - backfilled)
    let frame = 0
    for (const pgno of this.#index.pageNumbers(maxFrame)) if (++frame > backfilled) pgnos[frame - backfilled - 1] = pgno
    const newest = new NewestFrames(pgnos)
    for (const pgno of newest.pgnos) yield [pgno, backfilled + 1 + (newest.get(pgno) as number)]
  }

  readFrame(frame: number): Uint8Array {
    const { pageSize } = this.#header
    return this.#readAt(frameOffset(frame - 1, pageSize) + FRAME_HEADER_SIZE, pageSize)
  }

  /**
   * Appends transactions: first their frames in large writes, then the index, which publishes all of them at once. An
   * error before that leaves the database unchanged for readers. Returns the first frame.
   */
  *append(transactions: readonly WalTransaction[], pageSize: number, durable: boolean): Steps<number> {
    this.restart()
    const before = this.#header
    const begun = before.maxFrame === 0 ? this.#begin(pageSize) : undefined
    const header = begun?.header ?? before
    const chain = begun?.chain ?? new FrameChain(before, before.frameChecksum1, before.frameChecksum2)
    const pgnos = yield* this.#writeFrames(transactions, pageSize, chain, begun?.bytes)
    if (durable) nodeFiles.sync(this.#fd)
    this.#index.add(before.maxFrame + 1, pgnos)
    this.#header = {
      ...header,
      change: (before.change + 1) >>> 0,
      pageSize,
      maxFrame: before.maxFrame + pgnos.length,
      sizePages: transactions.at(-1)?.commit ?? before.sizePages,
      frameChecksum1: chain.checksum1,
      frameChecksum2: chain.checksum2,
    }
    this.#index.publish(this.#header)
    return before.maxFrame + 1
  }

  sync(): void {
    nodeFiles.sync(this.#fd)
  }

  /**
   * Restarts the WAL, as SQLite's walRestartLog does. False if it keeps its frames: not all of them are in the database
   * file, or a reader uses them.
   */
  restart(): boolean {
    const { maxFrame, salt1 } = this.#header
    if (maxFrame === 0) return true
    if (this.#backfilled < maxFrame) return false
    const header = { ...this.#header, maxFrame: 0, salt1: (salt1 + 1) >>> 0, salt2: randomBytes(4).readUInt32BE() }
    if (!this.#index.restart(header)) return false
    this.#header = header
    this.#backfilled = 0
    this.#checkpointSequence++
    if (this.sizeBytes > MAX_REUSED_BYTES) nodeFiles.truncate(this.#fd, 0)
    return true
  }

  /** A process that reads a snapshot, for a message. */
  reader(): string {
    return this.#index.locks.holder(WAL_INDEX_LOCK.read, READ_MARKS)
  }

  /**
   * Copies the frames that no reader's snapshot forbids into the database file. Reads from `pages` which frames are the
   * newest, and clears those that it copied.
   */
  *checkpoint(pages: PageTable): Steps<CheckpointResult> {
    const { maxFrame } = this.#header
    const safe = this.#backfilled < maxFrame ? this.#index.safeFrame(maxFrame) : maxFrame
    if (safe > this.#backfilled && this.#index.lockFile()) {
      try {
        yield* this.#backfill(pages, safe)
      } finally {
        this.#index.unlockFile()
      }
    }
    return {
      complete: this.#backfilled === maxFrame,
      walFrames: maxFrame,
      backfilledFrames: this.#backfilled,
    }
  }

  /**
   * Removes -wal and -shm, unless another file has taken the database's name, to which they then belong. Only after a
   * complete checkpoint, under the database's EXCLUSIVE lock.
   */
  remove(): void {
    const { path, files, fd } = this.#file
    const isOurs = isAt(files, path, fd)
    if (isOurs && isAt(files, `${path}-wal`, this.#fd)) files.remove(`${path}-wal`)
    if (isOurs && isAt(files, `${path}-shm`, this.#index.fd)) files.remove(`${path}-shm`)
    this.close()
  }

  close(): void {
    nodeFiles.close(this.#fd)
    this.#index.close()
  }

  *#backfill(pages: PageTable, safe: number): Steps<void> {
    const { maxFrame, pageSize, sizePages } = this.#header
    this.#index.setBackfilled(this.#backfilled, safe)
    nodeFiles.sync(this.#fd)
    const ready = readyPages(pages, safe)
    yield* this.#file.writePagesInSteps(pageSize, this.#framesOf(ready, pages))
    if (safe === maxFrame) this.#file.truncate(sizePages * pageSize)
    this.#file.sync()
    this.#index.setBackfilled(safe)
    this.#backfilled = safe
    for (const pgno of ready) pages.clearFrame(pgno)
  }

  *#framesOf(pgnos: Uint32Array, pages: PageTable): Generator<Page> {
    for (const pgno of pgnos) yield { pgno, page: this.readFrame(pages.frame(pgno) + 1) }
  }

  /** The header of a new WAL, which is written with its first frames. */
  #begin(pageSize: number): { header: WalIndexHeader; chain: FrameChain; bytes: Uint8Array } {
    const isFirst = this.#checkpointSequence === 0
    const salts = isFirst
      ? { salt1: randomBytes(4).readUInt32BE(), salt2: randomBytes(4).readUInt32BE() }
      : { salt1: this.#header.salt1, salt2: this.#header.salt2 }
    const { bytes, header } = marshalWalHeader({
      pageSize,
      checkpointSequence: this.#checkpointSequence,
      ...salts,
      bigEndianChecksums: NATIVE_BIG_ENDIAN,
    })
    const chain = new FrameChain(header, header.checksum1, header.checksum2)
    return { header: { ...this.#header, ...salts, bigEndianChecksums: NATIVE_BIG_ENDIAN }, chain, bytes }
  }

  /** Writes the commit frame of each transaction last, after all its other frames are in the file. */
  *#writeFrames(
    transactions: readonly WalTransaction[],
    pageSize: number,
    chain: FrameChain,
    walHeader: Uint8Array | undefined,
  ): Steps<Uint32Array> {
    const size = frameSize(pageSize)
    const count = transactions.reduce((sum, { count }) => sum + count, 0)
    const wanted = Math.min(Math.max(WRITE_PIECE_BYTES, WAL_HEADER_SIZE + size), WAL_HEADER_SIZE + count * size)
    if (this.#buffer.length < wanted) this.#buffer = new Uint8Array(Math.max(wanted, 2 * this.#buffer.length))
    const buffer = this.#buffer
    const view = new DataView(buffer.buffer)
    const pgnos = new Uint32Array(count)
    let written = 0
    let position = walHeader === undefined ? frameOffset(this.#header.maxFrame, pageSize) : 0
    let at = 0
    if (walHeader !== undefined) {
      buffer.set(walHeader)
      at = WAL_HEADER_SIZE
    }
    for (const { pages, count, commit } of transactions) {
      const end = written + count
      for (const { pgno, page } of pages) {
        const isFull = at + size > buffer.length
        if (isFull) {
          nodeFiles.write(this.#fd, buffer, 0, at, position)
          position += at
          at = 0
        }
        pgnos[written++] = pgno
        at = chain.append(view, at, pgno, written === end ? commit : 0, page)
        // Not before: the page is valid until another one is read, of whichever file.
        if (isFull) yield
      }
    }
    nodeFiles.write(this.#fd, buffer, 0, at, position)
    return pgnos
  }

  /** Publishes what the index lacks. */
  #publishRest(current: WalIndexHeader): WalIndexHeader {
    const header = headerWithRest(this.#readAt, this.sizeBytes, current)
    if (header === undefined) return current
    this.#index.add(current.maxFrame + 1, this.#framePgnos(header, current.maxFrame))
    this.#index.publish(header)
    return header
  }

  #framePgnos(header: WalIndexHeader, from = 0): Uint32Array {
    return framePgnos(this.#readAt, this.#file.path, header, from)
  }
}
