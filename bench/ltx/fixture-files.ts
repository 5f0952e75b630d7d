import { type Header, NO_CHECKSUM } from '../../src/ltx/format/header.ts'
import { toTXID } from '../../src/ltx/format/types.ts'
import { PAGE_SIZE } from './cost.ts'

/** Headers as the objects of a backup have them: without database checksums. */
export function changeHeader(txid: number, commit: number): Header {
  return {
    flags: NO_CHECKSUM,
    pageSize: PAGE_SIZE,
    commit,
    minTXID: toTXID(txid),
    maxTXID: toTXID(txid),
    timestampMs: 1_700_000_000_000 + txid,
    preApplyChecksum: 0n,
    walOffset: 0,
    walSize: 0,
    walSalt1: 0,
    walSalt2: 0,
    nodeId: 0n,
  }
}

export function snapshotHeader(commit: number): Header {
  return changeHeader(1, commit)
}
