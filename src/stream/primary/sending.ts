/** Log records and live databases as frames. */

import { SnapshotError } from '../../image/errors.ts'
import { assertDurable, type LogRecord, type LogView } from '../../log/view.ts'
import type { Position, TXID } from '../../ltx/format/types.ts'
import { nextTXID } from '../../ltx/format/types.ts'
import { errorMessage } from '../../util/errors.ts'
import { before } from '../../util/waits.ts'
import { StreamLostError } from '../wire/errors.ts'
import { ITEM_COST_BYTES } from '../wire/flow.ts'
import type { TransactionMessage } from '../wire/messages.ts'
import { encodePrimaryMessage } from '../wire/messages.ts'
import type { FeedHost } from './feed-host.ts'
import type { StreamedDatabase } from './source.ts'

/** How much of a log is read before it is written. Bounds the memory of each active feed, and how long others wait. */
const BATCH_BYTES = 256 * 1024
/** A transaction up to this size travels in one frame. */
const WHOLE_BYTES = 64 * 1024
const CHUNK_BYTES = 128 * 1024

/** The replica requested a restart while something was being sent. */
export class RestartRequested extends Error {}

export interface TransactionsProgress {
  interrupted(): boolean
  /** Called before the position is written. From then on the replica may acknowledge it. */
  sending(position: Position): void
  /** Everything up to this position is written. */
  sent(position: Position): void
}

interface Batch {
  readonly frames: Buffer[]
  readonly positions: Position[]
  costBytes: number
  /** The next record, too large for a frame. */
  large: LogRecord | undefined
  otherHistory: boolean
}

/** Sends some of what follows `at`, up to `here`. */
export async function sendTransactions(
  { name, log }: StreamedDatabase,
  at: Position,
  here: Position,
  host: FeedHost,
  progress: TransactionsProgress,
): Promise<'sent' | 'waits' | 'other history'> {
  const batch = await host.batches(async () => {
    const limit = Math.min(BATCH_BYTES, host.flow.roomToBegin(name))
    const collected = await collect(name, log, at, here.txid, limit)
    if (collected.frames.length > 0) {
      host.flow.take(name, collected.costBytes)
      for (const position of collected.positions) progress.sending(position)
      await host.sendFrames(collected.frames)
      progress.sent(collected.positions.at(-1))
    }
    return collected
  })
  const { large } = batch
  if (large !== undefined) {
    if (!host.flow.isFlowing(name)) return 'waits'
    progress.sending(positionOf(large))
    await host.bodies(() => sendLarge(name, large, host, progress))
    progress.sent(positionOf(large))
  }
  return batch.otherHistory ? 'other history' : 'sent'
}

async function collect(name: string, log: LogView, at: Position, to: TXID, limit: number): Promise<Batch> {
  const batch: Batch = { frames: [], positions: [], costBytes: 0, large: undefined, otherHistory: false }
  let last = at
  for await (const record of log.records(nextTXID(at.txid), to)) {
    const { minTXID, maxTXID, preApplyChecksum } = record.header
    assertDurable(log, maxTXID)
    if (minTXID !== nextTXID(last.txid) || preApplyChecksum !== last.checksum) {
      batch.otherHistory = true
      break
    }
    if (record.sizeBytes > WHOLE_BYTES) {
      // The collected records go first. The next call begins with this one.
      if (batch.frames.length === 0) batch.large = record
      break
    }
    const body: Uint8Array[] = []
    for await (const chunk of record.bytes()) body.push(chunk)
    batch.frames.push(encodePrimaryMessage(messageOf(name, record), ...body))
    batch.costBytes += record.sizeBytes + ITEM_COST_BYTES
    last = positionOf(record)
    batch.positions.push(last)
    if (batch.costBytes >= limit) break
  }
  // A log that shows nothing of what it has published is another one by now.
  if (batch.frames.length === 0 && batch.large === undefined) batch.otherHistory = true
  return batch
}

async function sendLarge(
  name: string,
  record: LogRecord,
  host: FeedHost,
  progress: TransactionsProgress,
): Promise<void> {
  host.flow.take(name, ITEM_COST_BYTES)
  await host.send(messageOf(name, record))
  await sendBody(name, record.bytes(), host, progress)
}

export interface SnapshotRequest {
  readonly reason: string
  /** The newest transaction that the replica may have. */
  readonly newest: TXID
  readonly fork: TXID | undefined
  readonly diverged: boolean
  interrupted(): boolean
  sending(position: Position): void
}

/** Sends the whole database. Returns its position; undefined when there is no database. Throws SnapshotError. */
export function sendSnapshot(
  database: StreamedDatabase,
  host: FeedHost,
  request: SnapshotRequest,
): Promise<Position | undefined> {
  const { name, log } = database
  return host.snapshots(database, request.newest, (snapshot) =>
    host.bodies(async () => {
      const { position, timestampMs, preApplyChecksum = 0n, sizeBytes } = snapshot
      if (request.interrupted()) throw new RestartRequested('restart')
      assertDurable(log, position.txid)
      const { reason, diverged, fork = null } = request
      const about = { position, timestampMs, preApplyChecksum, sizeBytes, fork, diverged, reason }
      host.flow.take(name, ITEM_COST_BYTES)
      request.sending(position)
      await host.send({ type: 'snapshot', database: name, ...about })
      await sendBody(name, snapshot.bytes(), host, {
        interrupted: () => request.interrupted(),
        stalledMs: host.stalledMs,
      })
      return position
    }),
  )
}

interface BodyProgress {
  interrupted(): boolean
  /** Throws StreamLostError when the replica takes nothing for so long. */
  readonly stalledMs?: number
}

/** Sends chunk by chunk, as there is room. After an error the replica is told not to wait for the rest. */
async function sendBody(
  name: string,
  bytes: AsyncIterable<Uint8Array>,
  host: FeedHost,
  progress: BodyProgress,
): Promise<void> {
  try {
    for await (const piece of bytes) {
      for (let at = 0; at < piece.length; at += CHUNK_BYTES) {
        const chunk = piece.subarray(at, at + CHUNK_BYTES)
        await roomFor(name, host, progress)
        host.flow.take(name, chunk.length)
        await host.send({ type: 'chunk', database: name }, chunk)
      }
    }
  } catch (error) {
    const lost = host.signal.aborted || error instanceof StreamLostError
    if (!lost) await host.send({ type: 'abort', database: name, reason: abortReason(error) })
    throw error
  }
}

async function roomFor(name: string, { flow, signal }: FeedHost, progress: BodyProgress): Promise<void> {
  const { stalledMs = Infinity } = progress
  const since = performance.now()
  for (;;) {
    signal.throwIfAborted()
    if (progress.interrupted()) throw new RestartRequested('restart')
    const given = flow.given.next
    if (flow.roomToContinue(name) > 0) return
    const leftMs = since + stalledMs - performance.now()
    if (leftMs <= 0) throw new StreamLostError(`the replica has taken nothing of a snapshot for ${stalledMs / 1000} s`)
    await before(given, leftMs)
  }
}

function abortReason(error: unknown): string {
  if (error instanceof SnapshotError) return 'the copy changed under the snapshot'
  return errorMessage(error).slice(0, 1000)
}

function messageOf(database: string, { header, postApplyChecksum, sizeBytes }: LogRecord): TransactionMessage {
  const { maxTXID: txid, preApplyChecksum, timestampMs } = header
  return { type: 'transaction', database, txid, preApplyChecksum, postApplyChecksum, timestampMs, sizeBytes }
}

function positionOf({ header, postApplyChecksum }: LogRecord): Position {
  return { txid: header.maxTXID, checksum: postApplyChecksum }
}
