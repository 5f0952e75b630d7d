/** Checks that files continue each other in TXID order, for the inputs of a merge and for files that are applied. */
import { hasChecksums, type Header, isSnapshot, type Trailer } from './format/header.ts'
import { type Checksum, formatChecksum, formatTXID, nextTXID } from './format/types.ts'

/** Where two neighbours do not fit, in the format's own words. */
export interface ChainProblem {
  readonly field: 'page size' | 'TXIDs' | 'pre-apply checksum'
  /** The value in the later file, and the expected one. */
  readonly problem: string
}

/** A file that another file may follow. */
export interface ChainLink {
  readonly header: Header
  readonly trailer: Trailer
}

/**
 * `checksums`: the checksums of both files match. False where a file has none, the files overlap, or the later one is a
 * snapshot.
 */
export type Joint = { readonly problem: ChainProblem } | { readonly problem: undefined; readonly checksums: boolean }

/**
 * Compares a file with the one before it. Unless it is a snapshot, it has the same page size. It begins at most one
 * past the other's end, and ends later. If it begins right there and both have checksums, its pre-apply checksum is
 * the other's post-apply checksum. Source: superfly/ltx 0.5.3, compactor.go and apply.go.
 */
export function joint(before: ChainLink, after: ChainLink): Joint {
  const [one, two] = [before.header, after.header]
  if (one.pageSize !== two.pageSize && !isSnapshot(two)) {
    return { problem: { field: 'page size', problem: `${two.pageSize}: expected ${one.pageSize}` } }
  }
  if (two.minTXID > one.maxTXID + 1n || two.maxTXID <= one.maxTXID) {
    const expected =
      two.minTXID > one.maxTXID + 1n
        ? `expected to begin at ${formatTXID(nextTXID(one.maxTXID))} or before; the transactions between are missing`
        : `expected to end after ${formatTXID(one.maxTXID)}, the end of the file before`
    return { problem: { field: 'TXIDs', problem: `${formatTXIDs(two)}: ${expected}` } }
  }
  if (isSnapshot(two) || two.minTXID !== one.maxTXID + 1n || !hasChecksums(one) || !hasChecksums(two)) {
    return { problem: undefined, checksums: false }
  }
  const expected = before.trailer.postApplyChecksum
  if (two.preApplyChecksum === expected) return { problem: undefined, checksums: true }
  const found = formatChecksum(two.preApplyChecksum as Checksum)
  return {
    problem: { field: 'pre-apply checksum', problem: `${found}: expected ${formatChecksum(expected as Checksum)}` },
  }
}

export function formatTXIDs({ minTXID, maxTXID }: Header): string {
  return `${formatTXID(minTXID)}-${formatTXID(maxTXID)}`
}
