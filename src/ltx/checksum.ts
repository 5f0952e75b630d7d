import { digestChecksum, digestPage } from './kernels/kernels.ts'
import { CHECKSUM_FLAG, type Checksum, type Pgno } from './types.ts'

/** CRC-64/ISO of the big-endian page number and the page's data, bit 63 set. Source: superfly/ltx, checksum.go. */
export function pageChecksum(pgno: Pgno, page: Uint8Array): Checksum {
  digestPage(page)
  return digestChecksum(pgno, page.length) as Checksum
}

/**
 * Puts a page into a database's rolling checksum, or, the operation being its own inverse, takes it out. A changed page
 * is taken out as it was and put in as it is.
 */
export function foldChecksum(rolling: Checksum, page: Checksum): Checksum {
  return (CHECKSUM_FLAG | (rolling ^ page)) as Checksum
}
