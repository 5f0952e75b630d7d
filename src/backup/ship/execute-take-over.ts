import assert from 'node:assert/strict'
import type { DatabaseOwner } from '../../data/database-owner.ts'
import { Decoder } from '../../ltx/codec/decoder.ts'
import { type Checksum, EMPTY_CHECKSUM, toTXID, type TXID } from '../../ltx/format/types.ts'
import { ObjectNotFoundError } from '../../objectstore/errors.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { CorruptObjectError, MISSING, NoWayRoundError } from '../history/errors.ts'
import { type BackupFile, type BackupHistory, loadMetadata } from '../history/history.ts'
import { type FileRef, SNAPSHOT_LEVEL } from '../history/layout.ts'
import { planNextAround } from '../history/next.ts'
import { openInput, reportingCorruption, reportingCorruptionStream } from '../history/objects.ts'
import { NEWEST, type Plan } from '../history/plan.ts'
import { type Avoided, readAround } from '../restore/way-round.ts'
import { mergedBytes } from '../upkeep/compaction.ts'
import type { TakeOver, TakeOverFacts } from './take-over.ts'

export interface FileDetails {
  /**
   * Undefined where the backup does not record it (Litestream's), or where the file begins before the state it is
   * applied to.
   */
  readonly preApplyChecksum: Checksum | undefined
  readonly postApplyChecksum: Checksum | undefined
  readonly timestampMs: number
  /** undefined where the backup does not record it. */
  readonly owner: DatabaseOwner | undefined
}

/**
 * Applies one LTX file, whose bytes contain no database checksums. The database must have `postApplyChecksum`
 * afterwards. `key`: its object, or the last one where the file is merged from several. Throws CorruptObjectError where
 * the content is not what the backup says of it.
 */
export type ApplyFile = (
  file: FileRef & { readonly key: string },
  bytes: AsyncIterable<Uint8Array>,
  details: FileDetails,
) => Promise<void>

export interface ExecuteOptions {
  readonly signal?: AbortSignal
  /** Called for each object that had to be done without. The state is the same as with it. */
  readonly onAvoided?: (avoided: Avoided) => void
}

interface Execution extends ExecuteOptions {
  readonly store: ObjectStore
  readonly history: BackupHistory
  readonly apply: ApplyFile
}

/**
 * Passes a plan's files to `apply`, one after another: transactions and ranges for `fast-forward`, and for `replace`
 * and `diverged` a single snapshot of the newest state, which replaces everything. Where an object is damaged or
 * missing, other objects that hold the same transactions are used. Returns the position reached. Throws NoWayRoundError
 * where there are none.
 */
export async function executeTakeOver(
  store: ObjectStore,
  { history, local, backup }: TakeOverFacts,
  plan: TakeOver,
  apply: ApplyFile,
  options: ExecuteOptions = {},
): Promise<TXID> {
  const execution = { store, history, apply, ...options }
  switch (plan.kind) {
    case 'fast-forward':
      return fastForward(execution, plan.files, local.txid)
    case 'replace':
      return applySnapshot(execution)
    case 'diverged':
      return plan.winner === 'backup' && backup.state === 'live' ? applySnapshot(execution) : local.txid
    default:
      return local.txid
  }
}

async function fastForward(execution: Execution, planned: readonly BackupFile[], from: TXID): Promise<TXID> {
  const { history, signal } = execution
  const avoid = new Map<string, CorruptObjectError>()
  let files = planned
  let at = from
  for (;;) {
    try {
      for (const file of files) {
        signal?.throwIfAborted()
        assert(file.min <= at + 1n && file.max > at, `${file.key} does not continue from transaction ${at}`)
        await applyOne(execution, file, file.min === at + 1n)
        at = file.max
      }
      return at
    } catch (error) {
      signal?.throwIfAborted()
      const damaged = damageOf(execution, error)
      if (damaged === undefined || avoid.has(damaged.key)) throw error
      avoid.set(damaged.key, damaged)
      const next = planNextAround(history, at, new Set(avoid.keys()))
      if (next?.kind !== 'apply' && next?.kind !== 'replace') throw noWay(execution, [...avoid.values()])
      execution.onAvoided?.(damaged)
      if (next.kind === 'replace') return applySnapshot(execution)
      files = next.files
    }
  }
}

/** The damaged or missing object that an error is about. */
function damageOf({ store }: Execution, error: unknown): CorruptObjectError | undefined {
  if (error instanceof ObjectNotFoundError) return new CorruptObjectError(store.url, error.key, MISSING)
  return error instanceof CorruptObjectError ? error : undefined
}

function noWay({ store, history }: Execution, [first, ...others]: readonly CorruptObjectError[]): Error {
  if (first === undefined) return new Error('a plan around nothing is the plan itself')
  const also = others.length === 0 ? '' : `So are ${others.map(({ key }) => key).join(', ')}. `
  const advice =
    `${also}No other objects of database ${history.database} hold its transactions. Put another copy of it in its ` +
    'place, or let a node that has the database lead: it ships a new snapshot'
  return new NoWayRoundError(store.url, first.key, first.problem, { advice })
}

async function applyOne({ store, apply, signal }: Execution, file: BackupFile, continues: boolean): Promise<void> {
  const { preApplyChecksum, postApplyChecksum, timestampMs = file.timestampMs, owner } = await loadMetadata(store, file)
  const details = { preApplyChecksum: continues ? preApplyChecksum : undefined, postApplyChecksum, timestampMs, owner }
  await reportingCorruption(store, [file], async () =>
    apply(file, decoded(await openInput(store, file, signal).open()), details),
  )
}

/** The same bytes. Throws LTXError before their end where they are no whole LTX file. */
async function* decoded(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const decoder = new Decoder()
  for await (const chunk of bytes) {
    decoder.push(chunk)
    while (decoder.next() !== undefined);
    yield chunk
  }
  decoder.end()
}

async function applySnapshot({ store, history, apply, signal, onAvoided }: Execution): Promise<TXID> {
  const source = { store, database: history.database, target: NEWEST, history, signal }
  const { result, avoided } = await readAround(source, async (files: Plan) => {
    const last = files.at(-1) ?? files[0]
    const { postApplyChecksum, timestampMs = last.timestampMs, owner } = await loadMetadata(store, last)
    const merged = mergedBytes(store, files, signal === undefined ? {} : { signal })
    const file = { level: SNAPSHOT_LEVEL, min: toTXID(1), max: last.max, key: last.key }
    const details = { preApplyChecksum: EMPTY_CHECKSUM, postApplyChecksum, timestampMs, owner }
    await apply(file, reportingCorruptionStream(store, files, merged), details)
    return last.max
  })
  for (const one of avoided) onAvoided?.(one)
  return result
}
