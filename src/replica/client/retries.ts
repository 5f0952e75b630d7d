import { errorCode } from '../../util/errors.ts'

/** Missing resources. Nothing but more of them helps, a snapshot least of all. */
const SHORTAGES: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'ENOMEM', 'EMFILE', 'ENFILE'])
const FIRST_MS = 50
const LONGEST_MS = 2_000
/** After this many attempts that the disk failed, a snapshot writes the database anew. */
const MAX_ATTEMPTS = 5

/**
 * How long to wait before an order that failed for the `attempts`th time in a row is tried again; undefined if another
 * attempt would fail the same way, so that only a snapshot continues the database.
 */
export function retryDelayMs(error: unknown, attempts: number): number | undefined {
  const code = errorCode(error) ?? ''
  const isWorthIt = SHORTAGES.has(code) || (code === 'EIO' && attempts < MAX_ATTEMPTS)
  return isWorthIt ? Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempts - 1, 10)) : undefined
}
