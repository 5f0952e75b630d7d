import { appendFileSync, readFileSync } from 'node:fs'
import type { Order } from './matching.ts'

/**
 * What the clients know: each order they sent, and the exchange's receipt if one came. Written to a file of their own,
 * outside of the machine that will be lost; the proofs use nothing else.
 */

/** One order sent. */
export interface Attempt {
  readonly order: Order
  /** The client's clock before it sent. */
  readonly sentAtMs: number
  /** Absent: no answer came, so the order may be in the book or not. */
  readonly receipt?: Receipt
}

export interface Receipt {
  readonly sequence: number
  /** The exchange's clock after its commit had returned. */
  readonly acknowledgedAtMs: number
}

export type Receipted = Attempt & { readonly receipt: Receipt }

export function hasReceipt(attempt: Attempt): attempt is Receipted {
  return attempt.receipt !== undefined
}

export class Ledger {
  readonly file: string
  #receipts = 0
  #lastReceiptAtMs = 0

  constructor(file: string) {
    this.file = file
  }

  /** How many receipts there are so far. */
  get receipts(): number {
    return this.#receipts
  }

  /** When the newest receipt came, by the client's clock; 0 before the first. */
  get lastReceiptAtMs(): number {
    return this.#lastReceiptAtMs
  }

  record(attempt: Attempt): void {
    appendFileSync(this.file, `${JSON.stringify(attempt)}\n`)
    if (!hasReceipt(attempt)) return
    this.#receipts++
    this.#lastReceiptAtMs = Date.now()
  }

  /** Everything recorded so far, read back from the file. */
  read(): Attempt[] {
    return readFileSync(this.file, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Attempt)
  }
}
