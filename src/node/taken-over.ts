import type { TXID } from '../ltx/format/types.ts'

/** Where a database begins in a new term. */
export interface TakenOver {
  readonly at: TXID
  /** The backup has everything up to there. */
  readonly isBackedUp: boolean
}
