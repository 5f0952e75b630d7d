import {
  type Checksum,
  formatChecksum,
  formatPosition,
  formatTXID,
  type Position,
  type TXID,
} from '../ltx/format/types.ts'
import { LtxdError } from '../util/errors.ts'

/** Another process holds a lock on the database. Nothing was written, and a later attempt can succeed. */
export class ApplyBlockedError extends LtxdError {
  constructor(path: string, reason: string) {
    super('APPLY_BLOCKED', `cannot apply to ${path} now: ${reason}. ltxd retries; until then the database lags`)
  }
}

/** A file to write is a hard link: its other name may be where nothing was to change. Nothing was written. */
export class HardLinkError extends ApplyBlockedError {
  readonly reason: string

  constructor(path: string, link: string) {
    const reason = `${link} is a hard link to a file that has another name, too`
    super(path, reason)
    this.reason = reason
  }
}

/** Transactions are missing between the database's position and the first transaction to apply. */
export class ApplyGapError extends LtxdError {
  constructor(path: string, at: TXID, from: TXID) {
    super(
      'APPLY_GAP',
      `${path} is at transaction ${formatTXID(at)}, but the next LTX file begins at ${formatTXID(from)}: ` +
        'the transactions between them are missing. Apply those first, or restore the database',
    )
  }
}

/** The database and the transactions belong to different histories. Nothing was written. */
export class ApplyDivergedError extends LtxdError {
  constructor(
    path: string,
    where: 'before' | 'after' | 'of the snapshot at',
    txid: TXID,
    expected: Checksum,
    actual: Checksum,
  ) {
    super(
      'APPLY_DIVERGED',
      `${path} belongs to another history: the checksum ${where} transaction ${formatTXID(txid)} is ` +
        `${formatChecksum(actual)}, expected ${formatChecksum(expected)}. Nothing was written. ` +
        'Restore the database; the old file can stay beside it under another name',
    )
  }
}

/** The LTX file lacks pages that the database needs. Nothing was written. */
export class ApplyInvalidError extends LtxdError {
  constructor(path: string, problem: string) {
    super('APPLY_INVALID', `cannot apply to ${path}: ${problem}. Nothing was written. Restore the database`)
  }
}

/** No known position has the file's checksum: another program wrote to the file, or it is damaged. */
export class UnknownStateError extends LtxdError {
  constructor(path: string, checksum: Checksum, last: Position | undefined) {
    const known =
      last === undefined ? 'no position was recorded' : `the last recorded position is ${formatPosition(last)}`
    super(
      'APPLY_UNKNOWN_STATE',
      `${path} has checksum ${formatChecksum(checksum)}, which matches no recorded position (${known}): ` +
        'another program wrote to the file, or it is damaged. ' +
        'Restore the database; the old file can stay beside it under another name',
    )
  }
}

/** SQLite could not read the file, its -wal or its -journal either. */
export class NotDatabaseError extends LtxdError {
  constructor(path: string, problem: string) {
    super('APPLY_NOT_DATABASE', `${path} ${problem}. The file was not changed. Move it away, or restore the database`)
  }
}

/**
 * The WAL and its index do not belong together, as SQLite's WAL-reset bug leaves them. The checkpoint stopped before it
 * did harm.
 */
export class WalGuardError extends LtxdError {
  constructor(problem: string) {
    super(
      'WAL_GUARD',
      `I11: ${problem}. The checkpoint stopped and marked no frame as copied. ` +
        'Close all connections to the database, so that SQLite recovers its WAL',
    )
  }
}
