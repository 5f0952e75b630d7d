import type { Checksum, Position, TXID } from '../ltx/format/types.ts'
import { nextTXID } from '../ltx/format/types.ts'

/** A transaction that the local client announces before it writes it on a replica. */
export interface Expectation {
  /** The database's position after the transaction. */
  readonly position: Position
  /** Size in pages after it. Page 1 may count fewer: a file that grows in chunks is longer than its database. */
  readonly commit: number
  /** An encrypted database does not tell it. */
  readonly pageSize: number
  /** From the primary's header; the transaction's copy in this node's log repeats them. */
  readonly timestampMs: number
  readonly nodeId: bigint
  /**
   * Set if the transaction replaces the database and its log begins again with all pages as one transaction.
   * `preApplyChecksum` is the primary's checksum before that transaction.
   */
  readonly replaces?: { readonly preApplyChecksum: Checksum | 0n }
}

/** The announced transactions of one database that were not written yet, in order. */
export class Expectations {
  readonly #queue: Expectation[] = []

  announce(expectation: Expectation): void {
    this.#queue.push(expectation)
  }

  /**
   * The announcement that directly follows `txid`, or that replaces the whole database (I2). Announcements up to `txid`
   * are dropped: their transactions exist already, because a client died after its write.
   */
  next(txid: TXID): Expectation | undefined {
    while (
      this.#queue[0] !== undefined &&
      this.#queue[0].replaces === undefined &&
      this.#queue[0].position.txid <= txid
    ) {
      this.#queue.shift()
    }
    const first = this.#queue[0]
    return first?.replaces !== undefined || first?.position.txid === nextTXID(txid) ? first : undefined
  }

  /** The announced transaction was appended to the log. */
  fulfilled(expectation: Expectation): void {
    if (this.#queue[0] === expectation) this.#queue.shift()
  }

  /** A new client starts: it announces everything again. */
  clear(): void {
    this.#queue.length = 0
  }
}
