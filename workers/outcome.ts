/** Which errors are worth another try. */

import { errorCode, errorMessage, LtxdError } from '../src/util/errors.ts'

/** Operating errors that time may heal: of the store, or of what others do to the backup meanwhile. All others stay as they are. */
const PASSING = new Set([
  'STORE_UNAVAILABLE',
  'OBJECT_NOT_FOUND',
  'BACKUP_CONFLICT',
  'JOB_LOCK_LOST',
  'OUTPUT_UNWRITABLE',
])

export function isPassing(error: unknown): boolean {
  if (error instanceof LtxdError) return PASSING.has(error.code)
  return true
}

/** What is kept with a failed job. */
export function failureText(error: unknown): string {
  const code = errorCode(error)
  return code === undefined ? errorMessage(error) : `${code}: ${errorMessage(error)}`
}
