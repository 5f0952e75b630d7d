import type { Checksum, Position } from '../ltx/format/types.ts'
import type { Files } from '../util/files.ts'
import type { Positions } from './positions.ts'

export interface ApplierOptions {
  readonly positions: Positions
  /** Opens the database and the files beside it: see DatabaseFile.open. */
  readonly files?: Files
  /** Makes the file, which is missing, and returns its descriptor. Default: an existing file, or an empty new one. */
  readonly make?: (() => number) | undefined
  /**
   * Every applied transaction is durable on return. Otherwise a power loss can undo the newest ones, as with SQLite's
   * synchronous=NORMAL.
   */
  readonly durable?: boolean
  /** The Applier tries a checkpoint each time the WAL has grown by this many frames. Default 1000, as in SQLite. */
  readonly checkpointFrames?: number
  /** Limit of a WAL that a reader prevents from restarting. At the limit the database lags. Default 1 GiB. */
  readonly maxWalBytes?: number
  /** How long one attempt waits for readers in rollback mode. */
  readonly busyMs?: number
  /** Opens a database whose checksum matches no position, at transaction 0. Then only `replace` can change it. */
  readonly acceptUnknown?: boolean
}

export interface ApplyOptions {
  /** The database's checksum after the LTX file, where the file has none. */
  readonly postApplyChecksum?: Checksum | undefined
  /** The database's checksum before the LTX file, where the file has none. */
  readonly preApplyChecksum?: Checksum | undefined
  /** Called with the next position, after all verification and before the first write. */
  readonly before?: (position: Position) => void
}

export interface ApplyResult {
  readonly position: Position
  /** False when the database already had these transactions. */
  readonly applied: boolean
  readonly pages: number
}

export interface ApplierStatus {
  readonly journalMode: 'wal' | 'rollback'
  readonly walFrames: number
  readonly walBytes: number
  readonly isUsable: boolean
}
