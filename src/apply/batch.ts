import { type LtxBytes, Transaction } from './transaction.ts'

/** Bounds of one write. Readers wait for all of a write, and it is held in memory. */
const MAX_TRANSACTIONS = 256
const MAX_BYTES = 2 << 20

/**
 * The first transaction and those that can be written together with it. The batch ends before a transaction that does
 * not fit or is damaged; a damaged one fails when it is first in its own batch.
 */
export function takeBatch(
  first: Transaction,
  rest: readonly LtxBytes[],
  fits: (transaction: Transaction) => boolean,
): Transaction[] {
  const batch = [first]
  if (!fits(first)) return batch
  let bytes = sizeOf(first)
  for (const file of rest.slice(0, MAX_TRANSACTIONS - 1)) {
    const transaction = verified(file)
    if (transaction === undefined || !fits(transaction)) return batch
    bytes += sizeOf(transaction)
    if (bytes > MAX_BYTES) return batch
    batch.push(transaction)
  }
  return batch
}

function sizeOf({ header, pgnos }: Transaction): number {
  return pgnos.length * header.pageSize
}

function verified(file: LtxBytes): Transaction | undefined {
  try {
    return Transaction.of(file)
  } catch {
    return undefined
  }
}
