/** Decides which errors are worth a retry. */

import { errorCode, errorMessage, LtxdError } from '../src/util/errors.ts'
import { shorten } from '../src/util/shorten.ts'

/**
 * Operating errors that may pass: failures of the store, and concurrent changes to the backup. All others are
 * permanent.
 */
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

const MAX_FAILURE = 2000

/** The text stored with a failed job. */
export function failureText(error: unknown): string {
  const code = errorCode(error)
  return shorten(code === undefined ? errorMessage(error) : `${code}: ${errorMessage(error)}`, MAX_FAILURE)
}
