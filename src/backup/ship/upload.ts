import assert from 'node:assert/strict'
import type { DatabaseOwner } from '../../data/database-owner.ts'
import { spillToTemporaryFile } from '../../image/spill.ts'
import { assertDurable, type LogRecord, type LogView } from '../../log/view.ts'
import { Encoder } from '../../ltx/codec/encoder.ts'
import { NO_CHECKSUM } from '../../ltx/format/header.ts'
import {
  type Checksum,
  EMPTY_CHECKSUM,
  formatPosition,
  formatTXID,
  nextTXID,
  toTXID,
  type TXID,
} from '../../ltx/format/types.ts'
import { compact } from '../../ltx/merge/compactor.ts'
import { mergePages } from '../../ltx/merge/merge.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { BackupDivergedError } from '../history/errors.ts'
import { isDamagedInStore } from '../history/examine.ts'
import { fileKey, type FileRef, SNAPSHOT_LEVEL, WAL_OFFSET } from '../history/layout.ts'
import type { FileMetadata } from '../history/metadata.ts'
import { type ConflictResolver, putFile, putMarker } from '../history/put.ts'
import { planUpload, type UploadStep } from './upload-plan.ts'

/** The upload's position in a database. The next transaction continues from here. */
export interface UploadState {
  readonly txid: TXID
  /** After that transaction; undefined when only the next transaction's pre-apply checksum can tell. */
  readonly checksum: Checksum | undefined
  readonly timestampMs: number
  readonly pageSize: number
  /** 0: dropped, or no transaction yet. */
  readonly commit: number
  /** The last file of level 0, where it is known to end with this transaction. */
  readonly file?: FileRef
}

/** How an upload treats objects of other leaders. */
export interface OtherObjects {
  readonly resolve: ConflictResolver
  /** Called after each file, before its position counts. `put`: the file was not there before. */
  uploaded(file: FileRef, put: boolean, signal: AbortSignal | undefined): Promise<void>
}

export interface UploadOptions {
  /** The term of the lease under which this node writes. */
  readonly term?: bigint
  readonly signal?: AbortSignal
  /** The owner of the database's file. */
  readonly owner?: () => DatabaseOwner | undefined
  /** Handles objects of other leaders in the backup. */
  readonly others?: OtherObjects
  /** Called after each object that advances the upload. */
  readonly onProgress?: (state: UploadState) => void
}

/** The most transactions in one file: bounds memory and open records. */
const MAX_RECORDS_PER_FILE = 256

/**
 * Ships the transactions after `from` up to `to`. The caller has made them durable (I4), and the log still holds
 * them. Objects are put in TXID order, one after another, so a reader never sees a hole. May be repeated after any
 * failure. Returns the position reached. Throws BackupConflictError, BackupDivergedError, LogGapError,
 * StoreUnavailableError, and the errors of `others`.
 */
export async function uploadTransactions(
  store: ObjectStore,
  database: string,
  log: LogView,
  from: UploadState,
  to: TXID,
  options: UploadOptions = {},
): Promise<UploadState> {
  let state = from
  while (state.txid < to) {
    const end = min(to, state.txid + BigInt(MAX_RECORDS_PER_FILE))
    assertDurable(log, end)
    const records = await collect(log, nextTXID(state.txid), end)
    assertContinues(store, database, state, records)
    const transactions = records.map(({ header }) => ({
      txid: header.maxTXID,
      pageSize: header.pageSize,
      commit: header.commit,
    }))
    for (const step of planUpload(transactions, state.txid === 0n ? undefined : state)) {
      const next = await new StepUpload(store, database, records, state, options).run(step)
      assert(next.txid > state.txid, 'an upload step did not advance the backup')
      state = next
      options.onProgress?.(state)
    }
  }
  return state
}

/**
 * Makes sure that the last transaction is in a file of its own, `N-N`, and in no other of level 0: only then can
 * Litestream continue the backup. The file that holds it with others is deleted once two files hold the same. Does
 * nothing where the log no longer holds all of them. Throws the errors of `uploadTransactions`.
 */
export async function uploadNewestAlone(
  store: ObjectStore,
  database: string,
  log: LogView,
  state: UploadState,
  options: UploadOptions = {},
): Promise<UploadState> {
  const { txid, file } = state
  const first = await log.first()
  if (file === undefined || file.min === txid || first === undefined || first > file.min) return state
  assertDurable(log, txid)
  const records = await collect(log, file.min, txid)
  const upload = new StepUpload(store, database, records, state, options)
  await upload.run({ kind: 'file', from: file.min, to: toTXID(txid - 1n) })
  const alone = await upload.run({ kind: 'file', from: txid, to: txid })
  for (const ref of upload.found) {
    const found = { ...ref, key: fileKey(store.layout, database, ref) }
    if (await isDamagedInStore(store, found, options.signal)) return state
  }
  await store.delete([fileKey(store.layout, database, file)], options.signal)
  return alone
}

async function collect(log: LogView, from: TXID, to: TXID): Promise<LogRecord[]> {
  const records: LogRecord[] = []
  for await (const record of log.records(from, to)) records.push(record)
  return records
}

/** I2 against the backup: the shipped transactions begin where the backup ends. */
function assertContinues(
  store: ObjectStore,
  database: string,
  state: UploadState,
  records: readonly LogRecord[],
): void {
  const [first] = records
  if (first === undefined) return
  assert.equal(first.header.minTXID, nextTXID(state.txid), 'the log returned another transaction than the next one')
  if (state.checksum === undefined || state.txid === 0n) return
  const before = preApply(first)
  if (before === state.checksum) return
  const [backup, local] = [state.checksum, before].map((checksum) => formatPosition({ txid: state.txid, checksum }))
  throw new BackupDivergedError(store.url, database, `the backup is at ${backup}, the log continues from ${local}`)
}

/** Transaction 1 stores no pre-apply checksum: it is that of an empty database. */
function preApply({ header }: LogRecord): Checksum {
  return header.preApplyChecksum === 0n ? EMPTY_CHECKSUM : header.preApplyChecksum
}

/** One step of an upload plan. */
class StepUpload {
  readonly #store: ObjectStore
  readonly #database: string
  readonly #records: readonly LogRecord[]
  readonly #state: UploadState
  readonly #options: UploadOptions
  /** Files that were there before, of which only the metadata have been read. */
  readonly found: FileRef[] = []

  constructor(
    store: ObjectStore,
    database: string,
    records: readonly LogRecord[],
    state: UploadState,
    options: UploadOptions,
  ) {
    this.#store = store
    this.#database = database
    this.#records = records
    this.#state = state
    this.#options = options
  }

  async run(step: UploadStep): Promise<UploadState> {
    switch (step.kind) {
      case 'file': {
        const records = this.#between(step.from, step.to)
        const reached = this.#reached(records)
        const file = { level: 0, min: step.from, max: step.to }
        await this.#putFile(file, records, reached)
        return { ...reached, file }
      }
      case 'dropped': {
        const reached = this.#reached(this.#between(step.txid, step.txid))
        await this.#putMarker(step, reached.timestampMs)
        return reached
      }
      case 'reset': {
        const records = this.#between(step.txid, step.txid)
        const reached = this.#reached(records)
        await this.#putMarker(step, reached.timestampMs)
        // Put the snapshot first: the level-0 file alone would lie behind a gap.
        await this.#putFile({ level: SNAPSHOT_LEVEL, min: toTXID(1), max: step.txid }, records, reached)
        const file = { level: 0, min: step.txid, max: step.txid }
        await this.#putFile(file, records, reached)
        return { ...reached, file }
      }
    }
  }

  #between(from: TXID, to: TXID): [LogRecord, ...LogRecord[]] {
    const [first, ...rest] = this.#records.filter(({ header }) => header.maxTXID >= from && header.maxTXID <= to)
    if (first === undefined)
      throw new Error(`transaction ${formatTXID(from)} is missing from the records read from the log`)
    return [first, ...rest]
  }

  /** Timestamps never decrease within a backup, whatever the clock does. */
  #reached(records: readonly [LogRecord, ...LogRecord[]]): UploadState {
    const { header, postApplyChecksum } = records.at(-1) ?? records[0]
    return {
      txid: header.maxTXID,
      checksum: postApplyChecksum,
      timestampMs: Math.max(header.timestampMs, this.#state.timestampMs),
      pageSize: header.pageSize,
      commit: header.commit,
    }
  }

  #putMarker(step: UploadStep & { readonly kind: 'dropped' | 'reset' }, timestampMs: number): Promise<void> {
    const { kind, txid } = step
    const marker = { kind, txid, timestampMs, term: this.#options.term ?? 0n }
    const { signal, others } = this.#options
    return putMarker(this.#store, this.#database, marker, signal, others?.resolve)
  }

  async #putFile(ref: FileRef, records: readonly [LogRecord, ...LogRecord[]], reached: UploadState): Promise<void> {
    const { signal, term = 0n, others } = this.#options
    const { timestampMs, pageSize, commit } = reached
    const owner = this.#options.owner?.()
    const metadata: FileMetadata = {
      timestampMs,
      pageSize,
      commit,
      term,
      preApplyChecksum: ref.min === 1n ? EMPTY_CHECKSUM : preApply(records[0]),
      ...(reached.checksum === undefined ? {} : { postApplyChecksum: reached.checksum }),
      ...(owner && { owner }),
    }
    const inputs = records.map((record) => ({
      name: `transaction ${formatTXID(record.header.maxTXID)} of ${this.#database}`,
      open: () => record.bytes(),
    }))
    const compaction = { noChecksum: true, walOffset: WAL_OFFSET, spill: spillToTemporaryFile }
    const body =
      ref.level === SNAPSHOT_LEVEL && ref.max > 1n
        ? () => asSnapshot(inputs, ref, timestampMs)
        : () => compact(inputs, { ...compaction, headerTimestampMs: timestampMs, ...(signal && { signal }) })
    const file = { ...ref, database: this.#database, metadata, body }
    const put = await putFile(this.#store, file, signal, others?.resolve)
    if (!put) this.found.push(ref)
    await others?.uploaded(ref, put, signal)
  }
}

type Inputs = Parameters<typeof mergePages>[0]

/** A transaction that holds every page, under a snapshot's header. */
async function* asSnapshot(inputs: Inputs, ref: FileRef, timestampMs: number): AsyncIterable<Uint8Array> {
  const merge = mergePages(inputs)
  const chunks: Uint8Array[] = []
  let encoder: Encoder | undefined
  try {
    await merge.open()
    const { pageSize, commit } = merge.last
    const wal = { walOffset: WAL_OFFSET, walSize: 0, walSalt1: 0, walSalt2: 0 }
    const identity = {
      flags: NO_CHECKSUM,
      preApplyChecksum: 0n,
      nodeId: 0n,
      minTXID: ref.min,
      maxTXID: ref.max,
    } as const
    const header = { ...identity, ...wal, pageSize, commit, timestampMs }
    encoder = new Encoder(header, (chunk) => chunks.push(chunk.slice()), { spill: spillToTemporaryFile })
    while (!merge.ended) {
      for (let frame = merge.next(); frame !== undefined; frame = merge.next()) {
        if (frame.encoding === 'block') encoder.copyFrame(frame.pgno, frame.compressed, frame.page())
        else encoder.writePage(frame.pgno, frame.page())
        for (let chunk = chunks.shift(); chunk !== undefined; chunk = chunks.shift()) yield chunk
      }
      if (!merge.ended) await merge.fill()
    }
    encoder.finish(0n)
    yield* chunks
  } finally {
    encoder?.abort()
    await merge.close()
  }
}

function min(a: bigint, b: bigint): TXID {
  return toTXID(a < b ? a : b)
}
