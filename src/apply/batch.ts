import { type LtxBytes, Transaction } from './transaction.ts'

/** What one write may take with it: readers wait for all of it, and memory is held for it. */
const MAX_TRANSACTIONS = 256
const MAX_BYTES = 2 << 20

/**
 * The first transaction with those after it that can be written together with it: up to one that does not fit, or is
 * damaged, which then fails on its own turn.
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
    return new Transaction(file)
  } catch {
    return undefined
  }
}
