import { errorMessage, LtxdError } from '../util/errors.ts'

/** A segment is damaged in a way that no crash can explain. */
export class CorruptLogError extends LtxdError {
  /** `whole`: how many whole transactions follow the damage. */
  constructor(path: string, offset: number, problem: string, whole = 0) {
    const follow = whole === 0 ? '' : `, and ${whole} whole transaction${whole === 1 ? '' : 's'} after that`
    super(
      'LOG_CORRUPT',
      `LTX log ${path} is damaged at byte ${offset}: ${problem}${follow}. Nothing was changed. ` +
        'Restore the database from its backup with "ltxd restore", or move this log and the database away together',
    )
  }
}

/** The log does not hold the requested transaction, or no longer does. */
export class LogGapError extends LtxdError {
  constructor(database: string, wanted: string, first: string) {
    super('LOG_GAP', `the LTX log of ${database} begins at transaction ${first} and no longer holds ${wanted}`)
  }
}

/**
 * An fsync failed, so the disk may have lost what was written: a later fsync that succeeds would prove nothing. Or the
 * attempt to write it anew has failed.
 */
export class LogUnsyncedError extends LtxdError {
  constructor(dir: string, cause: unknown) {
    super(
      'LOG_UNSYNCED',
      `the LTX log in ${dir} could not be made durable (${errorMessage(cause)}): nothing more is written to this database ` +
        'until what is not durable could be written anew. That is tried again; check the disk',
      1,
      { cause },
    )
  }
}
