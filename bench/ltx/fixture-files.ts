import { type Header, makeHeader, NO_CHECKSUM } from '../../src/ltx/format/header.ts'
import { toTXID } from '../../src/ltx/format/types.ts'
import { PAGE_SIZE } from './cost.ts'

/** Headers as in the objects of a backup: without database checksums. */
export function changeHeader(txid: number, commit: number): Header {
  const timestampMs = 1_700_000_000_000 + txid
  return makeHeader({ flags: NO_CHECKSUM, pageSize: PAGE_SIZE, commit, minTXID: toTXID(txid), timestampMs })
}
