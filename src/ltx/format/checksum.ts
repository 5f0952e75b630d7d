import { digestChecksum, digestPage } from '../kernels/digest.ts'
import { type Checksum, CHECKSUM_FLAG, EMPTY_CHECKSUM, lockPgno, type Pgno } from './types.ts'

/** CRC-64/ISO of the big-endian page number and the page's data, bit 63 set. Source: superfly/ltx, checksum.go. */
export function pageChecksum(pgno: Pgno, page: Uint8Array): Checksum {
  digestPage(page)
  return digestChecksum(pgno, page.length) as Checksum
}

/**
 * Adds a page's checksum to a database's rolling checksum. The operation is its own inverse: for a changed page, fold
 * the old checksum, which removes it, and then the new one.
 */
export function foldChecksum(rolling: Checksum, page: Checksum): Checksum {
  return (CHECKSUM_FLAG | (rolling ^ page)) as Checksum
}

/** The rolling checksum of a whole database. Its pages may come in any order. The lock page is skipped. */
export function databaseChecksum(pages: Iterable<readonly [Pgno, Uint8Array]>): Checksum {
  let rolling = EMPTY_CHECKSUM
  for (const [pgno, page] of pages) {
    if (pgno !== lockPgno(page.length)) rolling = foldChecksum(rolling, pageChecksum(pgno, page))
  }
  return rolling
}
