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

/** `before` is the transaction before the first, where it is known; undefined at the beginning of a history. */
export function planUpload(
  transactions: readonly TransactionInfo[],
  before: Pick<TransactionInfo, 'pageSize' | 'commit'> | undefined,
): UploadStep[] {
  const steps: UploadStep[] = []
  let batch: { readonly from: TXID; to: TXID } | undefined
  const flush = () => {
    if (batch !== undefined) steps.push({ kind: 'file', ...batch })
    batch = undefined
  }
  let previous = before
  for (const transaction of transactions) {
    const { txid } = transaction
    if (transaction.commit === 0) {
      flush()
      steps.push({ kind: 'dropped', txid })
    } else if (isReset(transaction, previous)) {
      flush()
      steps.push({ kind: 'reset', txid })
    } else {
      batch = { from: batch?.from ?? txid, to: txid }
    }
    previous = transaction
  }
  flush()
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
