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
import { type FileRef, SNAPSHOT_LEVEL } from '../history/layout.ts'
import type { FileMetadata } from '../history/metadata.ts'
import { type ConflictResolver, putFile, putMarker } from '../history/put.ts'
import { planUpload, type UploadStep } from './upload-plan.ts'

/** Where the upload of a database stands; the next transaction continues from here. */
export interface UploadState {
  readonly txid: TXID
  /** After that transaction; undefined when only the next one's pre-apply checksum can tell. */
  readonly checksum: Checksum | undefined
  readonly timestampMs: number
  readonly pageSize: number
  /** 0: dropped, or nothing yet. */
  readonly commit: number
}

/** What an upload does about objects of other leaders. */
export interface OtherObjects {
  readonly resolve: ConflictResolver
  /** After each file, before its position counts. `put`: it was not there before. */
  uploaded(file: FileRef, put: boolean, signal: AbortSignal | undefined): Promise<void>
}

export interface UploadOptions {
  /** Of the lease under which this node writes. */
  readonly term?: bigint
  readonly signal?: AbortSignal
  /** Who looks after what else lies in the backup. */
  readonly others?: OtherObjects
  /** Called after each object that moves the upload forward. */
  readonly onProgress?: (state: UploadState) => void
}

/** Bounds memory and open records: so many transactions at most become one file. */
const MAX_RECORDS_PER_FILE = 256

/**
 * Ships the transactions after `from` up to `to`, which the caller has made durable (I4) and the log still holds. Objects
 * go in TXID order, one after another: a reader never sees a hole. May be repeated after any failure. Returns the state
 * reached. Throws BackupConflictError, BackupDivergedError, LogGapError, StoreUnavailableError, and what `others` throws.
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
    const records: LogRecord[] = []
    for await (const record of log.records(nextTXID(state.txid), end)) records.push(record)
    assertContinues(store, database, state, records)
    const transactions = records.map(({ header }) => ({
      txid: header.maxTXID,
      pageSize: header.pageSize,
      commit: header.commit,
    }))
    for (const step of planUpload(transactions, state.txid === 0n ? undefined : state, end === to)) {
      state = await new StepUpload(store, database, records, state, options).run(step)
      options.onProgress?.(state)
    }
  }
  return state
}

/** I2, held against the backup: what is shipped begins where the backup ends. */
function assertContinues(
  store: ObjectStore,
  database: string,
  state: UploadState,
  records: readonly LogRecord[],
): void {
  const [first] = records
  if (first === undefined || state.checksum === undefined || state.txid === 0n) return
  const before = preApply(first)
  if (before === state.checksum) return
  const [backup, local] = [state.checksum, before].map((checksum) => formatPosition({ txid: state.txid, checksum }))
  throw new BackupDivergedError(store.url, database, `the backup is at ${backup}, the log continues from ${local}`)
}

/** The pre-apply checksum of transaction 1 is not written down: it is that of no pages. */
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
        await this.#putFile({ level: 0, min: step.from, max: step.to }, records, reached)
        return reached
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
        // The snapshot before the file of level 0, which alone would lie behind a gap.
        await this.#putFile({ level: SNAPSHOT_LEVEL, min: toTXID(1), max: step.txid }, records, reached)
        await this.#putFile({ level: 0, min: step.txid, max: step.txid }, records, reached)
        return reached
      }
    }
  }

  #between(from: TXID, to: TXID): [LogRecord, ...LogRecord[]] {
    const [first, ...rest] = this.#records.filter(({ header }) => header.maxTXID >= from && header.maxTXID <= to)
    if (first === undefined) throw new Error(`transaction ${formatTXID(from)} is not among those read from the log`)
    return [first, ...rest]
  }

  /** Timestamps never go back within a backup, whatever the clock did. */
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
    const metadata: FileMetadata = {
      timestampMs,
      pageSize,
      commit,
      term,
      preApplyChecksum: ref.min === 1n ? EMPTY_CHECKSUM : preApply(records[0]),
      ...(reached.checksum === undefined ? {} : { postApplyChecksum: reached.checksum }),
    }
    const inputs = records.map((record) => ({
      name: `transaction ${formatTXID(record.header.maxTXID)} of ${this.#database}`,
      open: () => record.bytes(),
    }))
    const compaction = { noChecksum: true, spill: spillToTemporaryFile }
    const body =
      ref.level === SNAPSHOT_LEVEL && ref.max > 1n
        ? () => asSnapshot(inputs, ref, timestampMs)
        : () => compact(inputs, { ...compaction, headerTimestampMs: timestampMs, ...(signal && { signal }) })
    const file = { ...ref, database: this.#database, metadata, body }
    const put = await putFile(this.#store, file, signal, others?.resolve)
    await others?.uploaded(ref, put, signal)
  }
}

type Inputs = Parameters<typeof mergePages>[0]

/** A transaction that holds every page, under the header of a snapshot. */
async function* asSnapshot(inputs: Inputs, ref: FileRef, timestampMs: number): AsyncIterable<Uint8Array> {
  const merge = mergePages(inputs)
  const chunks: Uint8Array[] = []
  let encoder: Encoder | undefined
  try {
    await merge.open()
    const { pageSize, commit } = merge.last
    const wal = { walOffset: 0, walSize: 0, walSalt1: 0, walSalt2: 0 }
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
