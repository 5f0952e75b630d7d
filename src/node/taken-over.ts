import type { TXID } from '../ltx/format/types.ts'

/** The position at which a database begins a new term. */
export interface TakenOver {
  readonly at: TXID
  /** The backup has every transaction up to `at`. */
  readonly isBackedUp: boolean
}
