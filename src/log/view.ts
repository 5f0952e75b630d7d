import type { Header } from '../ltx/format/header.ts'
import type { Checksum, Position, TXID } from '../ltx/format/types.ts'

/** One transaction in the LTX log: an LTX file with checksums. */
export interface LogRecord {
  readonly header: Header
  readonly postApplyChecksum: Checksum
  /** Size of the LTX file. */
  readonly sizeBytes: number
  /** The LTX file's bytes, in chunks. */
  bytes(): AsyncIterable<Uint8Array>
}

/** What the control plane sees of a database's log. Never shows a record that is not complete. */
export interface LogView {
  readonly database: string
  /** TXID of the first record still kept; undefined while the log is empty. */
  first(): Promise<TXID | undefined>
  /** The last published position; txid 0 when the database has none yet. */
  position(): Position
  /** Makes everything up to `position()` as of the call survive a power loss (I4), and returns that position. */
  sync(): Promise<Position>
  /** Records `from` … `to`, both inclusive, in order. Throws when the log no longer holds `from`. */
  records(from: TXID, to: TXID): AsyncIterable<LogRecord>
}
