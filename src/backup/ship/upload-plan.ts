/** Divides a run of transactions into objects. Pure. */

import type { TXID } from '../../ltx/format/types.ts'

export interface TransactionInfo {
  readonly txid: TXID
  readonly pageSize: number
  /** 0: the database was dropped. */
  readonly commit: number
}

/** Both inclusive. */
export type UploadStep =
  | { readonly kind: 'file'; readonly from: TXID; readonly to: TXID }
  /** A marker. The transaction has no file. */
  | { readonly kind: 'dropped'; readonly txid: TXID }
  /** A marker, a level-9 snapshot, and the transaction alone at level 0. */
  | { readonly kind: 'reset'; readonly txid: TXID }

/**
 * @param before the transaction before the first, where it is known; undefined at the beginning of a history
 * @param ends whether the last transaction is the newest: it then goes alone, as `N-N`, the key from which Litestream
 *   can continue a backup. For the same reason the last transaction before a drop or a reset goes alone.
 */
export function planUpload(
  transactions: readonly TransactionInfo[],
  before: Pick<TransactionInfo, 'pageSize' | 'commit'> | undefined,
  ends: boolean,
): UploadStep[] {
  const steps: UploadStep[] = []
  let batch: TXID[] = []
  const flush = (alone: boolean) => {
    const [from] = batch
    const to = batch.at(-1)
    if (from === undefined || to === undefined) return
    const batchEnd = alone ? batch.at(-2) : to
    if (batchEnd !== undefined) steps.push({ kind: 'file', from, to: batchEnd })
    if (alone) steps.push({ kind: 'file', from: to, to })
    batch = []
  }
  let previous = before
  for (const transaction of transactions) {
    const { txid } = transaction
    if (transaction.commit === 0) {
      flush(true)
      steps.push({ kind: 'dropped', txid })
    } else if (isReset(transaction, previous)) {
      flush(true)
      steps.push({ kind: 'reset', txid })
    } else {
      batch.push(txid)
    }
    previous = transaction
  }
  flush(ends)
  return steps
}

/** Transaction 1 always holds every page and needs no marker. */
function isReset(
  transaction: TransactionInfo,
  before: Pick<TransactionInfo, 'pageSize' | 'commit'> | undefined,
): boolean {
  if (transaction.txid === 1n || before === undefined) return false
  return before.commit === 0 || before.pageSize !== transaction.pageSize
}
