import type { LTXError } from '../ltx/format/errors.ts'
import { errorCode, errorMessage, LtxdError } from '../util/errors.ts'

/** A file cannot be read. */
export class UnreadableFileError extends LtxdError {
  /** `expected` names the kind of file: "an LTX file". */
  constructor(path: string, expected: string, cause: unknown) {
    super('FILE_UNREADABLE', `${path}: ${describeSystemError(cause, expected)}`, 1, { cause })
  }
}

/** The file is not an LTX file, or is damaged. `detail` has the problem, its offset and its field. */
export class InvalidLTXError extends LtxdError {
  readonly detail: LTXError

  constructor(detail: LTXError, message: string) {
    super('LTX_INVALID', `${message}. Nothing was written; take another copy of the file`, 1, { cause: detail })
    this.detail = detail
  }
}

/** An LTX file does not continue the file before it, or the database. */
export class DoesNotContinueError extends LtxdError {
  constructor(path: string, field: string, problem: string, before?: string) {
    const source = before === undefined ? '' : ` (after ${before})`
    super('LTX_DOES_NOT_CONTINUE', `${path}: ${field}: ${problem}${source}. Nothing was written; ${ADVICE}`)
  }
}

/** The result differs from the checksum that the file records. */
export class WrongResultError extends LtxdError {
  constructor(path: string, found: string, expected: string) {
    const problem = `the resulting database has checksum ${found}: expected ${expected}`
    super('LTX_WRONG_RESULT', `${path}: post-apply checksum: ${problem}. Nothing was written; ${ADVICE}`)
  }
}

/** A snapshot would replace a database without permission. */
export class ReplacesDatabaseError extends LtxdError {
  constructor(path: string, file: string) {
    super(
      'REPLACES_DATABASE',
      `${file} is a snapshot, which would replace all of ${path}. Nothing was written; ` +
        'allow it with --force, or write a new database with -o',
    )
  }
}

/** The files drop the database, so there is nothing to write. */
export class DroppedDatabaseError extends LtxdError {
  constructor(path: string, file: string) {
    super(
      'DATABASE_DROPPED',
      `${file} drops the database: there is nothing to write to ${path}. Omit this file to get the state before the drop`,
    )
  }
}

/** A program uses the database, or part of its content is not in its file yet. */
export class DatabaseInUseError extends LtxdError {
  constructor(path: string, reason: string, advice: string) {
    super('DATABASE_UNSETTLED', `${path}: ${reason}. ${advice}`)
  }
}

/** Not a SQLite database, or an incomplete one. */
export class DamagedDatabaseError extends LtxdError {
  constructor(path: string, problem: string) {
    super('NOT_A_DATABASE', `${path}: ${problem}: expected a whole SQLite database file`)
  }
}

const ADVICE = 'give all files of one history, oldest first (`ltxd ltx verify FILE…` shows where they diverge)'

/** A sentence for a system error at reading a file. */
export function describeSystemError(error: unknown, expected: string): string {
  switch (errorCode(error)) {
    case 'ENOENT':
      return `there is no such file: expected ${expected}`
    case 'EISDIR':
      return `is a directory: expected ${expected}`
    case 'NOT_REGULAR':
      return `${errorMessage(error)}: expected ${expected}`
    case 'EACCES':
    case 'EPERM':
      return `cannot be read: expected ${expected} that this user may read`
    default:
      return `cannot be read: ${errorMessage(error)}`
  }
}
