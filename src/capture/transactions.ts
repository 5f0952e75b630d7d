import assert from 'node:assert/strict'
import type { HeldReply } from '../fuse/content.ts'
import type { Logs } from '../log/logs.ts'
import { writePageChecksums } from '../log/page-checksums.ts'
import { ZERO_POSITION } from '../log/store.ts'
import type { LogWriter } from '../log/writer.ts'
import type { Encoder } from '../ltx/codec/encoder.ts'
import type { Checksum, Pgno, Position, TXID } from '../ltx/format/types.ts'
import { EMPTY_CHECKSUM, nextTXID } from '../ltx/format/types.ts'
import type { Encryption } from '../sqlite/database-header.ts'
import { encryptionOf, foreignVersions, isUnreadable } from '../sqlite/database-header.ts'
import { indexOfPage } from '../sqlite/page-list.ts'
import type { PageTable } from '../sqlite/page-table.ts'
import { exchange } from '../sqlite/page-table.ts'
import { asError } from '../util/errors.ts'
import type { Files } from '../util/files.ts'
import type { BackingFile } from './backing-file.ts'
import type { Change } from './change.ts'
import { pagesOf } from './change.ts'
import type { CaptureEvents } from './events.ts'
import type { Expectation } from './expected.ts'
import { rejectDamaged, rejectForeign, rejectUnexpected } from './rejection.ts'

/**
 * Page checksums are saved once the log has written this many times their size, so that saving adds at most an eighth
 * to the log's writes.
 */
const SAVE_AFTER = 8

/** The fields of a transaction's header that do not follow from its pages. */
export interface Stamp {
  readonly timestampMs: number
  readonly nodeId: bigint
  /** The database checksum that the transaction must produce; absent on a primary. */
  readonly checksum?: Checksum
}

export interface TransactionsOptions {
  readonly name: string
  readonly files: Files
  readonly events: CaptureEvents
  readonly file: BackingFile
  /** The first transaction opens or creates the log. */
  readonly logs: Logs
  readonly pages: PageTable
  /** The committed version of a page, valid until the next call. */
  readonly readPage: (pgno: Pgno) => Uint8Array
  /** Called at the last moment before a transaction counts. Throws FsError where it must not. */
  readonly confirm: () => void
  /** Where a former database of the name was dropped, while there is no log but that. */
  readonly droppedAt?: Position
}

/** Appends a database's transactions to its log and updates the page checksums that follow from them. */
export class Transactions {
  /** The timestamp of the last transaction. */
  lastTimestampMs = 0
  /** By the newest first page. */
  encryption: Encryption = 'none'
  readonly #options: TransactionsOptions
  #log: LogWriter | undefined
  /** Bytes of segments finished since the page checksums were last saved. */
  #unsavedBytes = 0
  #appended = 0
  /** Where the database is without a log. */
  #base: Position

  constructor(options: TransactionsOptions, log?: LogWriter) {
    this.#options = options
    this.#log = log
    this.#base = options.droppedAt ?? ZERO_POSITION
  }

  /** How many transactions were appended to the log; `assertLogged` compares it (I1). */
  get appended(): number {
    return this.#appended
  }

  get logDir(): string | undefined {
    return this.#log?.dir
  }

  get position(): Position {
    return this.#log?.position ?? this.#base
  }

  append(change: Change, pageSize: number, stamp: Stamp): void {
    const { logs, name, pages } = this.#options
    const log = (this.#log ??= logs.open(name))
    const txid = nextTXID(log.position.txid)
    const { finishedBytes } = this.#write(log, txid, log.position.checksum, change, pageSize, stamp)
    this.#unsavedBytes += finishedBytes
    if (finishedBytes > 0 && this.#unsavedBytes >= SAVE_AFTER * pages.snapshot().byteLength) this.savePageChecksums()
  }

  /**
   * Replaces the log with one transaction that holds all pages. Recovery can apply it whatever the file held before.
   */
  replace(change: Change, pageSize: number, { position, replaces }: Expectation, stamp: Stamp): void {
    const { logs, name, readPage } = this.#options
    const { commit, pgnos, whole } = change
    const everything: Change = {
      ...change,
      pgnos: whole === true ? pgnos : pagesOf(commit, pageSize),
      read: (pgno) => (indexOfPage(pgnos, pgno) < 0 ? readPage(pgno) : change.read(pgno)),
    }
    const base = { txid: (position.txid - 1n) as TXID, checksum: replaces?.preApplyChecksum || EMPTY_CHECKSUM }
    this.close()
    try {
      this.#log = logs.replace(name, base, (log) => {
        this.#write(log, position.txid, base.checksum, everything, pageSize, stamp, true)
      })
    } catch (error) {
      this.#log = logs.open(name)
      throw error
    }
  }

  /** Closes the log's descriptors: no connection has the database open. */
  closeIdle(): void {
    this.#log?.closeIdle()
  }

  /** Fsyncs the log: everything committed so far survives a power loss. */
  sync(): void {
    this.#log?.sync()
  }

  /** Tries to mend a log that failed, if that is due. False while it rejects everything. */
  mendLog(): boolean {
    return this.#log?.mend() ?? true
  }

  get isUnsynced(): boolean {
    return this.#log?.isUnsynced === true
  }

  /** Begins an fsync of the log. A returned reply answers the request when the fsync ends. */
  beginSync(deadlineNs: bigint): HeldReply | undefined {
    return this.#log?.beginSync(deadlineNs)
  }

  /**
   * Saves the page checksums beside the log. They only speed up the next recovery, so a failure is logged and returned
   * as false.
   */
  savePageChecksums(): boolean {
    const { files, events, name, pages } = this.#options
    if (this.#log === undefined) return false
    const path = `${this.#log.dir}/pages.bin`
    try {
      writePageChecksums(files, path, this.position, pages.snapshot())
      this.#unsavedBytes = 0
      return true
    } catch (error) {
      events.log('warn', 'page checksums not saved: the next recovery reads more of the log', {
        database: name,
        err: asError(error),
      })
    }
    try {
      // Retention would otherwise keep every segment since the old table.
      if (files.exists(path)) files.unlink(path)
    } catch {
      // The stale table costs only disk space: retention removes fewer segments.
    }
    return false
  }

  close(): void {
    this.#log?.close()
    this.#log = undefined
  }

  /** The history is to be removed. */
  discard(): void {
    this.close()
    this.#base = ZERO_POSITION
  }

  #write(
    log: LogWriter,
    txid: TXID,
    preApplyChecksum: Checksum,
    change: Change,
    pageSize: number,
    stamp: Stamp,
    fromEmpty = change.whole === true,
  ): { finishedBytes: number } {
    const { pages, events, name } = this.#options
    const { commit, pgnos } = change
    let encryption = commit === 0 ? 'none' : this.encryption
    const sums = new BigUint64Array(pgnos.length)
    const header = {
      flags: 0,
      pageSize,
      commit,
      minTXID: txid,
      maxTXID: txid,
      timestampMs: stamp.timestampMs,
      preApplyChecksum: txid === 1n ? (0n as const) : preApplyChecksum,
      walOffset: change.wal?.offset ?? 0,
      walSize: change.wal?.size ?? 0,
      walSalt1: change.wal?.salt1 ?? 0,
      walSalt2: change.wal?.salt2 ?? 0,
      nodeId: stamp.nodeId,
    }
    const encode = (encoder: Encoder) => {
      let checksum = fromEmpty ? EMPTY_CHECKSUM : preApplyChecksum
      for (let i = 0; i < pgnos.length; i++) {
        const pgno = pgnos[i] as Pgno
        const page = change.read(pgno)
        if (pgno === 1) {
          encryption = encryptionOf(page)
          if (stamp.checksum === undefined) this.#assertFollowable(page, encryption)
        }
        encoder.writePage(pgno, page)
        const sum = encoder.lastPageChecksum()
        sums[i] = sum
        checksum = exchange(checksum, fromEmpty ? 0n : pages.checksum(pgno), sum)
      }
      if (!fromEmpty) checksum = this.#withoutPagesBeyond(commit, checksum)
      if (stamp.checksum !== undefined && stamp.checksum !== checksum) {
        throw rejectUnexpected(events, name, stamp.checksum, checksum)
      }
      return checksum
    }
    const confirm = change.decided === true ? () => {} : this.#options.confirm
    const { finishedBytes } = log.append(header, encode, confirm)
    if (change.durable === true) makeDurable(log, confirm)
    assert.equal(log.position.txid, txid, 'I1: the log ends with the transaction that was appended')
    this.#appended++
    if (change.whole === true) pages.resize(0)
    pages.resize(commit)
    for (let i = 0; i < pgnos.length; i++) pages.setChecksum(pgnos[i] as Pgno, sums[i] as Checksum)
    this.lastTimestampMs = stamp.timestampMs
    this.encryption = encryption
    if (encryption === 'whole') this.#options.file.encryptedPageSize = pageSize
    return { finishedBytes }
  }

  /** Throws FsError unless page 1 says a journal mode that capture follows. A replica takes what its primary took. */
  #assertFollowable(page: Uint8Array, encryption: Encryption): void {
    const { events, name, file } = this.#options
    const mayBeEncrypted = file.encryptedPageSize > 0 && isUnreadable(page)
    if (encryption === 'whole' && !mayBeEncrypted) throw rejectDamaged(events, name)
    const versions = foreignVersions(page)
    if (versions !== undefined) throw rejectForeign(events, name, versions)
  }

  #withoutPagesBeyond(commit: number, checksum: Checksum): Checksum {
    const { pages } = this.#options
    let result = checksum
    for (let pgno = commit + 1; pgno <= pages.sizePages; pgno++) result = exchange(result, pages.checksum(pgno), 0n)
    return result
  }
}

/** What fails, or is late by then, is taken out of the log: nobody has been told of it. */
function makeDurable(log: LogWriter, confirm: () => void): void {
  try {
    log.sync()
    confirm()
  } catch (error) {
    log.retract()
    throw error
  }
}
