/** Whether a transaction belongs on a database as it stands, and what the database's checksum is afterwards. */
import { type Checksum, EMPTY_CHECKSUM, lockPgno, nextTXID, type Pgno, type Position } from '../ltx/format/types.ts'
import { pagesOf } from '../sqlite/locks.ts'
import { exchange } from '../sqlite/page-table.ts'
import { ApplyDivergedError, ApplyGapError, ApplyInvalidError } from './errors.ts'
import type { Transaction } from './transaction.ts'

/** A database before the transaction. */
export interface Before {
  readonly path: string
  readonly position: Position
  readonly pageSize: number
  readonly pages: { readonly sizePages: number; checksum(pgno: Pgno): Checksum | 0n }
}

/**
 * Throws ApplyGapError, ApplyDivergedError, ApplyInvalidError. `preApplyChecksum`: where the file itself holds none.
 */
export function assertContinues(
  before: Before,
  { header, pgnos }: Transaction,
  preApplyChecksum: Checksum | undefined,
): void {
  const { path, pages } = before
  const { txid, checksum } = before.position
  const { minTXID, pageSize, commit } = header
  if (minTXID > nextTXID(txid)) throw new ApplyGapError(path, txid, minTXID)
  const expected = header.preApplyChecksum === 0n ? preApplyChecksum : header.preApplyChecksum
  const follows = minTXID === nextTXID(txid) && txid > 0n
  if (follows && expected !== undefined && expected !== checksum) {
    throw new ApplyDivergedError(path, `before transaction ${minTXID}`, expected, checksum)
  }
  // What is there before counts only where pages of the same size lie on it.
  const keptPages = pageSize === before.pageSize ? Math.min(pages.sizePages, commit) : 0
  const lockPage = lockPgno(pageSize)
  const wanted = pagesOf(commit, lockPage) - pagesOf(keptPages, lockPage)
  const given = pgnos.length - lowerBound(pgnos, keptPages + 1)
  if (given !== wanted) {
    const problem = `of ${wanted} pages that the database does not have yet, its transactions up to ${header.maxTXID} bring ${given}`
    throw new ApplyInvalidError(path, problem)
  }
  if (commit > 0 && commit !== pages.sizePages && pgnos[0] !== 1) {
    throw new ApplyInvalidError(path, `the size changes to ${commit} pages without page 1`)
  }
}

export function checksumAfter(before: Before, { header, pgnos, checksums }: Transaction): Checksum {
  const replaces = header.pageSize !== before.pageSize
  const { pages } = before
  let checksum = replaces ? EMPTY_CHECKSUM : before.position.checksum
  pgnos.forEach((pgno, i) => {
    checksum = exchange(checksum, replaces ? 0n : pages.checksum(pgno), checksums[i] ?? 0n)
  })
  if (replaces) return checksum
  for (let pgno = header.commit + 1; pgno <= pages.sizePages; pgno++) {
    checksum = exchange(checksum, pages.checksum(pgno), 0n)
  }
  return checksum
}

/** Index of the first page number that is not below `pgno`. */
function lowerBound(pgnos: readonly Pgno[], pgno: Pgno): number {
  let low = 0
  for (let high = pgnos.length; low < high;) {
    const middle = (low + high) >>> 1
    if ((pgnos[middle] ?? 0) < pgno) low = middle + 1
    else high = middle
  }
  return low
}
