import { LtxdError } from '../util/errors.ts'

/** A live database kept changing under the copy in a way that the log does not explain. */
export class SnapshotError extends LtxdError {
  constructor(database: string, problem: string, options?: ErrorOptions) {
    super(
      'SNAPSHOT_FAILED',
      `cannot take a snapshot of database ${database}: ${problem}. It is tried again at the next sync`,
      1,
      options,
    )
  }
}
