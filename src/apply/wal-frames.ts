import type { PageTable } from '../sqlite/page-table.ts'
import type { Page } from './transaction.ts'

/** A transaction to write as frames, the last of which commits. */
export interface WalTransaction {
  readonly pages: Iterable<Page>
  readonly count: number
  /** Size of the database afterwards. */
  readonly commit: number
}

export interface CheckpointResult {
  /** Every frame is in the database file. */
  readonly complete: boolean
  readonly walFrames: number
  readonly backfilledFrames: number
}

/** The pages whose newest frame is below `safe`, ascending. */
export function readyPages(pages: PageTable, safe: number): Uint32Array {
  const ready = new Uint32Array(pages.pagesInWal)
  let count = 0
  for (const pgno of pages.listInWal()) if (pages.frame(pgno) < safe) ready[count++] = pgno
  return ready.subarray(0, count)
}
