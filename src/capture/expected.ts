import type { Checksum, Position, TXID } from '../ltx/format/types.ts'
import { nextTXID } from '../ltx/format/types.ts'

/** What the local client announces before it writes on a replica: the transaction that must come out of it. */
export interface Expectation {
  /** Where the database is afterwards. */
  readonly position: Position
  /** As the primary wrote them; the transaction's copy in this node's log says the same. */
  readonly timestampMs: number
  readonly nodeId: bigint
  /** The database is replaced, and its log begins anew with all of it as one transaction; this was its checksum before that transaction. */
  readonly replaces?: { readonly preApplyChecksum: Checksum | 0n }
}

/** What is still to come of what was announced for a database, in order. */
export class Expectations {
  readonly #queue: Expectation[] = []

  announce(expectation: Expectation): void {
    this.#queue.push(expectation)
  }

  /** The one for the transaction right after `txid`, or that replaces all (I2). Those that are there already, because a client died after its write, are passed over. */
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

  /** It has become a transaction. */
  met(expectation: Expectation): void {
    if (this.#queue[0] === expectation) this.#queue.shift()
  }

  /** A new client begins. */
  clear(): void {
    this.#queue.length = 0
  }
}
