import { appendFileSync, readFileSync } from 'node:fs'
import type { Order } from './matching.ts'

/**
 * The clients' record: each sent order, and the exchange's receipt if one came. It is in a file outside the machine
 * that will be lost, and is all that the proofs use.
 */

/** A sent order. */
export interface Attempt {
  readonly order: Order
  /** The client's time before it sent the order. */
  readonly sentAtMs: number
  /** Without a receipt the order may or may not be in the book. */
  readonly receipt?: Receipt
}

export interface Receipt {
  readonly sequence: number
  /** The exchange's time after its commit. */
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

  /** The number of receipts so far. */
  get receipts(): number {
    return this.#receipts
  }

  /** The client's time of the newest receipt; 0 before the first. */
  get lastReceiptAtMs(): number {
    return this.#lastReceiptAtMs
  }

  record(attempt: Attempt): void {
    appendFileSync(this.file, `${JSON.stringify(attempt)}\n`)
    if (!hasReceipt(attempt)) return
    this.#receipts++
    this.#lastReceiptAtMs = Date.now()
  }

  /** Reads all records so far from the file. */
  read(): Attempt[] {
    return readFileSync(this.file, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Attempt)
  }
}
