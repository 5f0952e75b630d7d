import { LtxdError } from '../util/errors.ts'

/** The copy of a live database does not match the log: the database changed meanwhile, or a file is unreadable. */
export class SnapshotError extends LtxdError {
  constructor(database: string, problem: string, options?: ErrorOptions) {
    super(
      'SNAPSHOT_FAILED',
      `cannot take a snapshot of database ${database}: ${problem}. The next sync tries again`,
      1,
      options,
    )
  }
}
