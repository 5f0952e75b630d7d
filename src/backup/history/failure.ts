import { errorCode, errorMessage } from '../../util/errors.ts'

/**
 * A short text that is equal for failures of the same kind, so that repeats are logged once: the error codes where
 * there are any, because messages may contain names of temporary files.
 */
export function failureReason(error: unknown): string {
  const codes = [errorCode(error), errorCode(error instanceof Error ? error.cause : undefined)]
  const known = codes.filter((code) => code !== undefined)
  return known.length > 0 ? known.join(' ') : errorMessage(error)
}
