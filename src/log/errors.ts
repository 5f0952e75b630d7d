import { errorMessage, LtxdError } from '../util/errors.ts'

/** A segment holds something that no crash can explain. */
export class CorruptLogError extends LtxdError {
  constructor(path: string, offset: number, problem: string) {
    super(
      'LOG_CORRUPT',
      `LTX log ${path} is damaged at byte ${offset}: ${problem}. Nothing was changed. ` +
        'Restore the database from its backup with "ltxd restore", or move this log and the database away together',
    )
  }
}

/** The log no longer holds (or does not hold yet) what was asked for. */
export class LogGapError extends LtxdError {
  constructor(database: string, wanted: string, first: string) {
    super('LOG_GAP', `the LTX log of ${database} begins at transaction ${first} and no longer holds ${wanted}`)
  }
}

/** The disk did not take what was written, and may have forgotten it: a later sync that succeeds would prove nothing. */
export class LogUnsyncedError extends LtxdError {
  constructor(dir: string, cause: unknown) {
    super(
      'LOG_UNSYNCED',
      `the LTX log in ${dir} could not be made durable (${errorMessage(cause)}): nothing more is written to this database ` +
        'until a restart has looked at what is there. Check the disk first',
      1,
      { cause },
    )
  }
}
