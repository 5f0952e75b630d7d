/** The segments of a log: files in its directory, each named after the first transaction it holds. */

import type { TXID } from '../ltx/format/types.ts'
import { formatTXID, parseTXID } from '../ltx/format/types.ts'
import type { Files } from '../util/files.ts'

export interface SegmentName {
  readonly first: TXID
  readonly path: string
}

const SUFFIX = '.ltxlog'
const PATTERN = /^[0-9a-f]{16}\.ltxlog$/

export function segmentPath(dir: string, first: TXID): string {
  return `${dir}/${formatTXID(first)}${SUFFIX}`
}

/** Ascending by first transaction. */
export function listSegments(files: Files, dir: string): SegmentName[] {
  return files
    .list(dir)
    .filter((name) => PATTERN.test(name))
    .sort()
    .map((name) => ({ first: parseTXID(name.slice(0, 16)), path: `${dir}/${name}` }))
}
