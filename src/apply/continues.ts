/** Whether a transaction continues a database, and the database's checksum after it. */
import {
  type Checksum,
  EMPTY_CHECKSUM,
  formatTXID,
  lockPgno,
  nextTXID,
  type Pgno,
  type Position,
} from '../ltx/format/types.ts'
import { pagesOf } from '../sqlite/locks.ts'
import { lowerBound } from '../sqlite/page-list.ts'
import { exchange } from '../sqlite/page-table.ts'
import { ApplyDivergedError, ApplyGapError, ApplyInvalidError } from './errors.ts'
import type { Transaction } from './transaction.ts'

/** The database before the transaction. */
export interface Before {
  readonly path: string
  readonly position: Position
  readonly pageSize: number
  readonly pages: { readonly sizePages: number; checksum(pgno: Pgno): Checksum | 0n }
}

/**
 * Throws ApplyGapError, ApplyDivergedError, ApplyInvalidError. `preApplyChecksum` counts where the LTX file has none.
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
    throw new ApplyDivergedError(path, 'before', minTXID, expected, checksum)
  }
  // With another page size, the transaction replaces every page.
  const remainingPages = pageSize === before.pageSize ? Math.min(pages.sizePages, commit) : 0
  const lockPage = lockPgno(pageSize)
  const wanted = pagesOf(commit, lockPage) - pagesOf(remainingPages, lockPage)
  const given = pgnos.length - lowerBound(pgnos, remainingPages + 1)
  if (given !== wanted) {
    const problem = `transaction ${formatTXID(header.maxTXID)} must add ${wanted} pages and adds ${given}`
    throw new ApplyInvalidError(path, problem)
  }
  if (commit > 0 && commit !== pages.sizePages && pgnos[0] !== 1) {
    throw new ApplyInvalidError(
      path,
      `transaction ${formatTXID(header.maxTXID)} changes the size to ${commit} pages without page 1`,
    )
  }
}

export function checksumAfter(before: Before, { header, pgnos, checksums }: Transaction): Checksum {
  const replaces = header.pageSize !== before.pageSize
  const { pages } = before
  let checksum = replaces ? EMPTY_CHECKSUM : before.position.checksum
  pgnos.forEach((pgno, i) => {
    checksum = exchange(checksum, replaces ? 0n : pages.checksum(pgno), checksums[i] as Checksum)
  })
  if (replaces) return checksum
  for (let pgno = header.commit + 1; pgno <= pages.sizePages; pgno++) {
    checksum = exchange(checksum, pages.checksum(pgno), 0n)
  }
  return checksum
}
