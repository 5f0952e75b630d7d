import {
  type Checksum,
  formatChecksum,
  formatPosition,
  formatTXID,
  type Position,
  type TXID,
} from '../ltx/format/types.ts'
import { LtxdError } from '../util/errors.ts'

/** Another process stands in the way for now: the database lags, nothing is lost, and the next attempt may succeed. */
export class ApplyBlockedError extends LtxdError {
  constructor(path: string, reason: string) {
    super('APPLY_BLOCKED', `${path} cannot be changed now: ${reason}. It is tried again; until then it lags behind`)
  }
}

/** Transactions are missing between the database and what is to be applied. */
export class ApplyGapError extends LtxdError {
  constructor(path: string, at: TXID, from: TXID) {
    super(
      'APPLY_GAP',
      `${path} is at transaction ${formatTXID(at)}, but the next ones begin at ${formatTXID(from)}: those between are missing. ` +
        'Apply them first, or restore the database anew',
    )
  }
}

/** The transactions belong to another history than the database; nothing was written. */
export class ApplyDivergedError extends LtxdError {
  constructor(path: string, when: string, expected: Checksum, actual: Checksum) {
    super(
      'APPLY_DIVERGED',
      `${path} does not belong to this history: ${when} its checksum is ${formatChecksum(actual)}, expected ${formatChecksum(expected)}. ` +
        'Nothing was written. Restore the database anew; the old file can be kept beside it',
    )
  }
}

/** Something that is to be applied makes no sense for this database; nothing was written. */
export class ApplyInvalidError extends LtxdError {
  constructor(path: string, problem: string) {
    super('APPLY_INVALID', `cannot apply to ${path}: ${problem}. Nothing was written. Restore the database anew`)
  }
}

/** What is in the file was never applied to it: another program wrote to it, or it was damaged. */
export class UnknownStateError extends LtxdError {
  constructor(path: string, checksum: Checksum, last: Position | undefined) {
    const expected = last === undefined ? 'no position was ever noted for it' : `last noted was ${formatPosition(last)}`
    super(
      'APPLY_UNKNOWN_STATE',
      `${path} has checksum ${formatChecksum(checksum)}, which it never had while it was followed (${expected}): another program ` +
        'wrote to it, or it was damaged. Restore it anew; the old file can be kept beside it',
    )
  }
}

/** The file, its -wal or its -journal is none that SQLite could read either. */
export class NotDatabaseError extends LtxdError {
  constructor(path: string, problem: string) {
    super('APPLY_NOT_DATABASE', `${path} ${problem}: it is left as it is. Move it away, or restore the database anew`)
  }
}

/**
 * The WAL and its index do not belong together, as SQLite's WAL-reset bug leaves them: a checkpoint was given up before
 * it did harm.
 */
export class WalGuardError extends LtxdError {
  constructor(problem: string) {
    super(
      'WAL_GUARD',
      `I11: ${problem}. The checkpoint was given up, nothing was marked as copied. Close all connections of the database, so that SQLite reads its WAL anew`,
    )
  }
}
