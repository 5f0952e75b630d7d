/**
 * What travels with each object of a backup besides its bytes: Litestream's timestamp, and what a checksum-free LTX file
 * cannot say about itself. The term is that of the lease
 * under which the newest of its transactions was shipped (0, or absent: there was no lease); it fences writers.
 */

import { type Checksum, formatChecksum, formatTXID, parseChecksum, type TXID } from '../../ltx/format/types.ts'
import type { Metadata } from '../../objectstore/objectstore.ts'

export interface FileMetadata {
  /** Of the LTX header, in ms since the Unix epoch. */
  readonly timestampMs?: number
  /** Checksum of the database before the first transaction of the file. */
  readonly preApplyChecksum?: Checksum
  /** Checksum of the database after the last one. */
  readonly postApplyChecksum?: Checksum
  readonly pageSize?: number
  /** Size of the database afterwards, in pages. */
  readonly commit?: number
  readonly term?: bigint
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
  return pairs
}

/** Fields that are missing or unreadable are left out: an object of Litestream's has only the first. */
export function parseMetadata(metadata: Metadata): FileMetadata {
  return {
    ...field('timestampMs', parseTimestamp(metadata[TIMESTAMP])),
    ...field('preApplyChecksum', optionalChecksum(metadata['ltxd-pre-checksum'])),
    ...field('postApplyChecksum', optionalChecksum(metadata['ltxd-post-checksum'])),
    ...field('pageSize', optionalInteger(metadata['ltxd-page-size'])),
    ...field('commit', optionalInteger(metadata['ltxd-commit'])),
    ...field('term', parseTerm(metadata)),
  }
}

/** Markers carry nothing else. */
export function formatTerm(term: bigint): Metadata {
  return { 'ltxd-term': String(term) }
}

/** Undefined where it is missing or unreadable: an object from before there were leases, or of Litestream's. */
export function parseTerm(metadata: Metadata): bigint | undefined {
  const text = metadata['ltxd-term']
  return text !== undefined && /^\d{1,20}$/.test(text) ? BigInt(text) : undefined
}

/** RFC 3339 with nanoseconds, in UTC. */
export function formatTimestamp(timestampMs: number): string {
  return new Date(timestampMs).toISOString().replace('Z', '000000Z')
}

/** Milliseconds, cut; Go leaves out trailing zeros of the fraction. */
export function parseTimestamp(text: string | undefined): number | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text ?? '')
  if (match === null) return undefined
  const [, seconds = '', fraction = '', zone = ''] = match
  const ms = Date.parse(`${seconds}.${fraction.padEnd(3, '0').slice(0, 3)}${zone}`)
  return Number.isNaN(ms) ? undefined : ms
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
