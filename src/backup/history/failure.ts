import { errorCode, errorMessage } from '../../util/errors.ts'

/**
 * What makes two failures the same for whoever reads the log: their codes where they have some, since messages may hold
 * names of temporary files.
 */
export function failureReason(error: unknown): string {
  const codes = [errorCode(error), errorCode(error instanceof Error ? error.cause : undefined)]
  const known = codes.filter((code) => code !== undefined)
  return known.length > 0 ? known.join(' ') : errorMessage(error)
}
