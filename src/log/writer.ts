import assert from 'node:assert/strict'
import fs from 'node:fs'
import type { Encoder } from '../ltx/codec/encoder.ts'
import type { Header } from '../ltx/format/header.ts'
import type { Checksum, Position } from '../ltx/format/types.ts'
import { formatTXID, nextTXID } from '../ltx/format/types.ts'
import { asError } from '../util/errors.ts'
import type { Files } from '../util/files.ts'
import { Breakage } from './breakage.ts'
import { LogUnsyncedError } from './errors.ts'
import type { PendingSync, SyncStarter } from './pending-sync.ts'
import { writeRecord } from './record-write.ts'
import { rewriteSegment } from './rewrite.ts'
import { listSegments, segmentPath } from './segments.ts'

export interface LogWriterOptions {
  /** A new segment begins when the current one exceeds this. */
  readonly segmentSizeBytes: number
  /** Fsyncs a segment on another thread, while the writer's thread continues. */
  readonly syncs?: SyncStarter
  /** Called with the reason when the log begins to reject everything, and with undefined when it no longer does. */
  readonly failed?: (error: Error | undefined) => void
  readonly monotonicMs?: () => number
}

/** The segment being appended to. */
interface Segment {
  readonly path: string
  /** -1 while the segment is not open. */
  fd: number
  end: number
}

/**
 * Appends transactions to a database's log: synchronous, one writer for each database, in the data plane. It appends to
 * no segment that it did not begin: whoever had that open while it had another mode or owner reads on in it. After an
 * fsync failed, or a failed append could not be cut off, it rejects everything until the segments could be written anew
 * (rewrite.ts), which each call tries, with growing pauses.
 */
export class LogWriter {
  readonly dir: string
  readonly #files: Files
  readonly #options: LogWriterOptions
  #current: Segment | undefined
  /** Finished segments that are not fsynced yet. */
  #finished: Segment[] = []
  #unsynced = false
  #appends = 0
  /** An fsync on another thread, and the number of appends when it was prepared. */
  #pending: { readonly sync: PendingSync; readonly appends: number } | undefined
  #namesUnsynced = false
  readonly #breakage: Breakage
  #at: Position
  /** Before the last transaction, while that can be retracted. */
  #before: { readonly at: Position; readonly end: number } | undefined

  /**
   * `position` and `end` are what recovery found: the last whole record, and the offset after it in the last segment.
   * All of that is durable. A segment without a record makes room for one of the same name.
   */
  constructor(files: Files, dir: string, position: Position, end: number, options: LogWriterOptions) {
    this.#files = files
    this.dir = dir
    this.#options = options
    this.#at = position
    this.#breakage = new Breakage(dir, options.failed, options.monotonicMs)
    const last = listSegments(files, dir).at(-1)
    if (last !== undefined && end === 0) files.unlink(last.path)
  }

  get position(): Position {
    return this.#at
  }

  /**
   * Appends one transaction. `encode` writes its pages and returns the database checksum after it. When this returns,
   * the bytes are in the log (I1) and in the kernel; `sync()` makes them survive a power loss. If it throws, the log is
   * unchanged. `confirm` is called when all but the record's frame is written, without which it is none, and may throw.
   * @returns the new position and, if a new segment began, the size of the one before it.
   */
  append(
    header: Header,
    encode: (encoder: Encoder) => Checksum,
    confirm = NOTHING,
  ): { position: Position; finishedBytes: number } {
    this.#collectSync()
    this.#assertWhole()
    this.#assertFollows(header)
    const finishedBytes = this.#rotateIfFull()
    const segment = (this.#current ??= this.#begin(header))
    const start = segment.end
    if (segment.fd < 0) segment.fd = this.#files.open(segment.path, fs.constants.O_RDWR)
    try {
      const { end, postApplyChecksum } = writeRecord(this.#files, segment.fd, start, header, encode, confirm)
      segment.end = end
      this.#unsynced = true
      this.#appends++
      this.#before = { at: this.#at, end: start }
      this.#at = { txid: header.maxTXID, checksum: postApplyChecksum }
      return { position: this.#at, finishedBytes }
    } catch (error) {
      this.#cutBack(segment.fd, start)
      throw error
    }
  }

  /**
   * Fsyncs the log: everything appended so far survives a power loss. Throws LogUnsyncedError.
   */
  sync(): void {
    this.#pending?.sync.wait()
    this.#collectSync()
    this.#assertWhole()
    try {
      this.#syncFiles()
    } catch (error) {
      throw this.#breakage.begin(new LogUnsyncedError(this.dir, error))
    }
  }

  /** Throws the reason why nothing is accepted, unless the segments could be written anew now. */
  #assertWhole(): void {
    if (this.#breakage.error !== undefined) this.#breakage.end(() => this.#rewrite())
  }

  /** Tries to write anew what could not be made durable, if that is due. False while the log rejects everything. */
  mend(): boolean {
    this.#collectSync()
    try {
      this.#assertWhole()
      return true
    } catch (error) {
      if (error === this.#breakage.error) return false
      throw error
    }
  }

  /** Makes everything durable that was appended since the last fsync that succeeded. */
  #rewrite(): void {
    const segments = this.#current === undefined ? this.#finished : [...this.#finished, this.#current]
    for (const segment of segments) {
      if (segment.fd >= 0) segment.fd = rewriteSegment(this.#files, this.dir, segment)
    }
    this.#files.syncDirectory(this.dir)
    for (const { fd } of this.#finished.splice(0)) this.#files.close(fd)
    this.#unsynced = this.#namesUnsynced = false
  }

  /**
   * Removes the transaction that was appended last, of which nobody knows: durably, or when the log is written anew.
   */
  retract(): void {
    const before = this.#before
    const segment = this.#current
    assert.ok(before !== undefined && segment !== undefined, 'only the last transaction can be retracted')
    this.#before = undefined
    segment.end = before.end
    this.#at = before.at
    this.#unsynced = true
    this.#cutBack(segment.fd, before.end)
    if (this.#breakage.error === undefined) this.sync()
  }

  /** Whether an fsync would make anything durable. */
  get isUnsynced(): boolean {
    return this.#unsynced || this.#namesUnsynced || this.#finished.length > 0
  }

  /**
   * Begins an fsync. A returned PendingSync still has to be started by naming the request it answers; otherwise the
   * fsync is done. `deadlineNs`: see SyncStarter.
   */
  beginSync(deadlineNs = 0n): PendingSync | undefined {
    this.#collectSync()
    this.#assertWhole()
    const current = this.#current
    const finished = this.#finished
    const unsynced = this.#unsynced
    const appends = this.#appends
    const pending = this.#pending
    const namesUnsynced = this.#namesUnsynced
    const isOne = unsynced && pending === undefined && finished.length === 0 && !namesUnsynced
    const sync = isOne && current !== undefined ? this.#options.syncs?.prepare(current.fd, deadlineNs) : undefined
    if (sync === undefined) this.sync()
    else this.#pending = { sync, appends }
    return sync
  }

  /**
   * Closes the segment until the next transaction, because no connection has the database open. An unsynced segment
   * stays open: closing it could lose the report of a failed write.
   */
  closeIdle(): void {
    this.#collectSync()
    const current = this.#current
    if (current === undefined || current.fd < 0 || this.#unsynced || this.#breakage.error !== undefined) return
    this.#files.close(current.fd)
    current.fd = -1
  }

  close(): void {
    this.#pending?.sync.wait()
    this.#collectSync()
    if (this.#breakage.error === undefined) this.sync()
    if (this.#current !== undefined && this.#current.fd >= 0) this.#files.close(this.#current.fd)
    this.#current = undefined
    this.#breakage.forget()
  }

  #syncFiles(): void {
    for (const { fd } of this.#finished) {
      this.#files.sync(fd)
      this.#files.close(fd)
    }
    this.#finished = []
    if (this.#unsynced && this.#current !== undefined) this.#files.sync(this.#current.fd)
    this.#unsynced = false
    if (this.#namesUnsynced) this.#files.syncDirectory(this.dir)
    this.#namesUnsynced = false
  }

  /** Records the outcome of an fsync on another thread. */
  #collectSync(): void {
    const pending = this.#pending
    if (pending === undefined) return
    const { state } = pending.sync
    if (state === 'running') return
    this.#pending = undefined
    if (state === 'failed') this.#breakage.begin(new LogUnsyncedError(this.dir, new Error('EIO: fdatasync')))
    if (state === 'done' && pending.appends === this.#appends) this.#unsynced = false
  }

  /** Asserts I2: the log is gapless. */
  #assertFollows(header: Header): void {
    const { txid, checksum } = this.#at
    assert.equal(
      header.minTXID,
      nextTXID(txid),
      `I2: transaction ${formatTXID(header.minTXID)} after ${formatTXID(txid)}`,
    )
    assert.equal(header.maxTXID, header.minTXID, 'I2: the log holds single transactions')
    if (txid > 0n)
      assert.equal(header.preApplyChecksum, checksum, 'I2: pre-apply checksum is not the last post-apply one')
  }

  #cutBack(fd: number, end: number): void {
    try {
      this.#files.truncate(fd, end)
    } catch (error) {
      this.#breakage.begin(asError(error))
    }
  }

  /** Starts a new segment if the current one is full. Returns the size of the full one, or 0. */
  #rotateIfFull(): number {
    if (this.#current === undefined || this.#current.end < this.#options.segmentSizeBytes) return 0
    const full = this.#current
    if (full.fd >= 0) this.#finished.push(full)
    this.#current = undefined
    return full.end
  }

  #begin(header: Header): Segment {
    const { O_RDWR, O_CREAT, O_EXCL } = fs.constants
    const path = segmentPath(this.dir, header.minTXID)
    const fd = this.#files.open(path, O_RDWR | O_CREAT | O_EXCL)
    this.#namesUnsynced = true
    return { path, fd, end: 0 }
  }
}

const NOTHING = () => {}
