/**
 * The metadata stored with each object of a backup: Litestream's timestamp, and facts that a checksum-free LTX file
 * cannot hold. The term is that of the lease under which the newest of its transactions was shipped (0 or absent: no
 * lease). It fences writers.
 */

import { type DatabaseOwner, formatFolders, parseFolders } from '../../data/database-owner.ts'
import { termText } from '../../data/term.ts'
import { type Checksum, formatChecksum, formatTXID, parseChecksum, type TXID } from '../../ltx/format/types.ts'
import type { Metadata } from '../../objectstore/objectstore.ts'
import { formatOwner, parseOwner } from '../../util/owner.ts'
import { isoTime } from '../../util/time.ts'

export interface FileMetadata {
  /** The LTX header's timestamp, in ms since the Unix epoch. */
  readonly timestampMs?: number
  /** The database's checksum before the file's first transaction. */
  readonly preApplyChecksum?: Checksum
  /** The database's checksum after the file's last transaction. */
  readonly postApplyChecksum?: Checksum
  readonly pageSize?: number
  /** The database's size after the last transaction, in pages. */
  readonly commit?: number
  readonly term?: bigint
  /** Owner and mode of the database when the file was made. */
  readonly owner?: DatabaseOwner
}

const TIMESTAMP = 'litestream-timestamp'

export function formatMetadata(min: TXID, max: TXID, file: FileMetadata): Metadata {
  const pairs: Record<string, string> = {}
  if (file.timestampMs !== undefined) pairs[TIMESTAMP] = formatTimestamp(file.timestampMs)
  pairs['ltxd-pre-txid'] = formatTXID((min - 1n) as TXID)
  pairs['ltxd-post-txid'] = formatTXID(max)
  if (file.preApplyChecksum !== undefined) pairs['ltxd-pre-checksum'] = formatChecksum(file.preApplyChecksum)
  if (file.postApplyChecksum !== undefined) pairs['ltxd-post-checksum'] = formatChecksum(file.postApplyChecksum)
  if (file.pageSize !== undefined) pairs['ltxd-page-size'] = String(file.pageSize)
  if (file.commit !== undefined) pairs['ltxd-commit'] = String(file.commit)
  pairs['ltxd-term'] = String(file.term ?? 0n)
  if (file.owner !== undefined) pairs['ltxd-owner'] = formatOwner(file.owner.file)
  if (file.owner !== undefined && file.owner.folders.length > 0) {
    pairs['ltxd-folders'] = formatFolders(file.owner.folders)
  }
  return pairs
}

/** Skips missing and unreadable fields. Objects written by Litestream have only the timestamp. */
export function parseMetadata(metadata: Metadata): FileMetadata {
  return {
    ...field('timestampMs', parseTimestamp(metadata[TIMESTAMP])),
    ...field('preApplyChecksum', optionalChecksum(metadata['ltxd-pre-checksum'])),
    ...field('postApplyChecksum', optionalChecksum(metadata['ltxd-post-checksum'])),
    ...field('pageSize', optionalInteger(metadata['ltxd-page-size'])),
    ...field('commit', optionalInteger(metadata['ltxd-commit'])),
    ...field('term', parseTerm(metadata)),
    ...field('owner', optionalOwner(metadata)),
  }
}

/** A marker's metadata: its term alone. */
export function formatTerm(term: bigint): Metadata {
  return { 'ltxd-term': String(term) }
}

/** Undefined where it is missing or unreadable: the object is older than leases, or Litestream's. */
export function parseTerm(metadata: Metadata): bigint | undefined {
  return termText.safeParse(metadata['ltxd-term']).data
}

/** RFC 3339 with nanoseconds, in UTC. */
export function formatTimestamp(timestampMs: number): string {
  return isoTime(timestampMs).replace('Z', '000000Z')
}

/** RFC 3339. Milliseconds, truncated. Go omits trailing zeros of the fraction. */
export function parseTimestamp(text: string | undefined): number | undefined {
  const match = /^(\d{4}-\d\d-(\d\d)T\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/i.exec(text ?? '')
  if (match === null) return undefined
  const [, seconds = '', day = '', fraction = '', zone = ''] = match
  const ms = Date.parse(`${seconds}.${fraction.padEnd(3, '0').slice(0, 3)}${zone}`.toUpperCase())
  // Date.parse takes 30 February for a day of March.
  if (new Date(`${seconds}Z`.toUpperCase()).getUTCDate() !== Number(day)) return undefined
  return Number.isNaN(ms) ? undefined : ms
}

/** Whoever can write to the backup says this: ids and permission bits, and nothing else. */
function optionalOwner(metadata: Metadata): DatabaseOwner | undefined {
  const file = parseOwner(metadata['ltxd-owner'] ?? '')
  return file && { file, folders: parseFolders(metadata['ltxd-folders'] ?? '') }
}

function optionalChecksum(text: string | undefined): Checksum | undefined {
  return text !== undefined && /^[89a-f][0-9a-f]{15}$/.test(text) ? parseChecksum(text) : undefined
}

function optionalInteger(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

function field<K extends keyof FileMetadata>(key: K, value: FileMetadata[K] | undefined): Partial<FileMetadata> {
  return value === undefined ? {} : { [key]: value }
}
