import assert from 'node:assert/strict'
import type { Header } from '../ltx/format/header.ts'
import type { Checksum, Position, TXID } from '../ltx/format/types.ts'
import { formatTXID } from '../ltx/format/types.ts'

/** One transaction in the LTX log: an LTX file with checksums. */
export interface LogRecord {
  readonly header: Header
  readonly postApplyChecksum: Checksum
  /** Size of the LTX file. */
  readonly sizeBytes: number
  /** The LTX file's bytes, in chunks. */
  bytes(): AsyncIterable<Uint8Array>
}

/** The control plane's view of a database's log. It never shows an incomplete record. */
export interface LogView {
  readonly database: string
  /** TXID of the first record that the log still holds; undefined while it is empty. */
  first(): Promise<TXID | undefined>
  /** The last published position; txid 0 when the database has none yet. */
  position(): Position
  /** Makes everything up to `position()` as of the call survive a power loss (I4), and returns that position. */
  sync(): Promise<Position>
  /** Up to where the last `sync()` that succeeded made it so; txid 0 before the first. */
  durable(): Position
  /** Records `from` … `to`, both inclusive, in order. Throws if the log no longer holds `from`. */
  records(from: TXID, to: TXID): AsyncIterable<LogRecord>
}

/** I4: called right before bytes of transaction `txid` leave the node. */
export function assertDurable(log: LogView, txid: TXID): void {
  const durable = log.durable().txid
  assert.ok(
    txid <= durable,
    `I4: transaction ${formatTXID(txid)} of ${log.database} would leave the node, which is durable up to ${formatTXID(durable)}`,
  )
}
