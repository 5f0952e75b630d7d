import type { TXID } from '../ltx/format/types.ts'

/** The position at which a database begins a new term. */
export interface TakenOver {
  readonly at: TXID
  /** The backup has every transaction up to `at`. */
  readonly isBackedUp: boolean
  /**
   * The backup was listed, or not even that, and not compared: whoever ships compares first, as a node that has the
   * history of this term. undefined: it was compared.
   */
  readonly toCompare?: bigint
}
