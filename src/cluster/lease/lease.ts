/** The right to be primary: its record, and the interface of the services that store it. */

import { z } from 'zod'
import { termText } from '../../data/term.ts'
import type { LtxdError } from '../../util/errors.ts'
import { UnknownFormatError } from '../../util/format-number.ts'
import { hostname, type NodeAddress, peerUrl } from '../../util/node-address.ts'
import { ForeignRecordError, UnreadableRecordError } from './errors.ts'

export type { NodeAddress }

/** A node that led, according to a record. */
export interface Leader {
  readonly term: bigint
  readonly holder: NodeAddress
  /**
   * Which nodes have all its commits. `elsewhere`: a replica or the backup as well. `alone`: no other node, as far as
   * the leader knew. `unknown`: the leader could not tell.
   */
  readonly kept: 'elsewhere' | 'alone' | 'unknown'
}

export interface LeaseRecord {
  /** Grows with each holder. 0 when the lease does not know it (static, seen from a replica). */
  readonly term: bigint
  /** The node that holds or released the lease. */
  readonly holder: NodeAddress
  readonly state: 'held' | 'released'
  /** With 'released': the only node that may acquire the lease within a TTL. */
  readonly successor?: string
  /**
   * The last node that may have committed: with 'held', before this term; with 'released', up to and including this
   * term. A holder that never led does not count. Absent when no node did.
   */
  readonly lastLeader?: Leader
  /**
   * How long after this write uploads of earlier holders may still reach the backup, not counting those of this holder.
   * Absent when there are none.
   */
  readonly uploadsMayRunMs?: number
  /** Chosen by the cluster's first primary. Empty when the lease does not know it (static). */
  readonly clusterId: string
  /** How long a silent holder may still be alive. Infinity for a static lease. */
  readonly ttlMs: number
  /** Grows with each renewal: a record that does not change has a holder that does not renew. */
  readonly renewals: number
}

/** Identifies one state of the lease's key. A write names the version that it replaces. */
export type LeaseVersion = string

/** The content of the lease's key. */
export type LeaseView =
  /**
   * `heard`: there was a cluster, or another node of one stands: no empty node founds another. `founded`: which cluster
   * there was.
   */
  | { readonly kind: 'vacant'; readonly heard?: boolean; readonly founded?: string }
  | { readonly kind: 'record'; readonly record: LeaseRecord; readonly version: LeaseVersion }
  /** No record of this cluster: the node must neither follow it nor take it over. */
  | { readonly kind: 'foreign'; readonly error: LtxdError }

export type LeaseOutcome =
  /** `unmarked`: why no sign could be left beside the record that there is a cluster. */
  | { readonly kind: 'done'; readonly view: LeaseView; readonly unmarked?: LtxdError }
  /** The lease belongs to another holder, to another cluster, or to none; `view` shows the key's content. */
  | { readonly kind: 'lost'; readonly view: LeaseView }

export interface LeaseWatcher {
  /** Called at each change, and occasionally without one. */
  seen(view: LeaseView): void
  /** Called at each failed attempt to read. The lease continues to retry. */
  failed(error: LtxdError): void
}

/** Operations are called one after the other. Each ends in bounded time, and throws LeaseUnavailableError. */
export interface Lease {
  readonly type: 'static' | 'consul'
  readonly ttlMs: number
  /** The term of the next lead, given the highest known term. */
  chooseTerm(highest: bigint): bigint
  /** Reads at once and whenever it changes, until `close`. */
  watch(watcher: LeaseWatcher): void
  /** Reads at once, instead of waiting for a change. */
  refresh(): void
  /**
   * Writes `record` if the key still has the version `over` (undefined: no key). In the same transaction it leaves a
   * sign beside the record that there is this cluster, in case the record is removed, and, where there was no record,
   * removes what nodes have said meanwhile: that counts no more when there is none again.
   */
  acquire(record: LeaseRecord, over: LeaseVersion | undefined): Promise<LeaseOutcome>
  /** Replaces this node's own record of the same term. Where it was removed, as `acquire` without a version. */
  renew(record: LeaseRecord): Promise<LeaseOutcome>
  release(record: LeaseRecord): Promise<LeaseOutcome>
  /** Puts what this node says in an election beside the record; `vacant`: not while there is a record. */
  publish(nodeId: string, candidacy: Uint8Array, when: 'vacant' | 'always'): Promise<void>
  /** What nodes have said in elections, also in earlier ones. */
  candidacies(): Promise<readonly Uint8Array[]>
  close(): Promise<void>
}

/** Larger values are rejected unread. A record of this version has some hundred bytes. */
export const MAX_RECORD_BYTES = 16_384

const FORMAT = 1
const nodeId = z.string().regex(/^[0-9a-f]{16}$/, 'expected 16 hex digits')
const term = z
  .string()
  .regex(/^[1-9]/, 'expected a positive number')
  .pipe(termText)
const holder = z.object({ nodeId, hostname: hostname.min(1), url: peerUrl })

/** Unknown keys are ignored, because a later version may add some. */
const recordSchema = z.object({
  ltxd: z.literal(FORMAT),
  term,
  holder,
  state: z.enum(['held', 'released']),
  successor: nodeId.optional(),
  lastLeader: z.object({ term, holder, kept: z.enum(['elsewhere', 'alone', 'unknown']) }).optional(),
  uploadsMayRunMs: z.int().min(0).max(3_600_000).optional(),
  clusterId: z.string().regex(/^[0-9a-f]{16}$/, 'expected 16 hex digits'),
  ttlMs: z.int().min(1_000).max(3_600_000),
  renewals: z.int().min(0),
})

/** Throws UnreadableRecordError instead of writing what no node could read. */
export function encodeRecord(record: LeaseRecord): Buffer {
  const bigints = (_: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value)
  const text = JSON.stringify({ ltxd: FORMAT, ...record }, bigints)
  const { error } = recordSchema.safeParse(JSON.parse(text))
  if (error !== undefined) throw new UnreadableRecordError(problemOf(error))
  return Buffer.from(text)
}

/** Throws ForeignRecordError and UnknownFormatError, naming `place`. */
export function parseRecord(bytes: Uint8Array, place: string): LeaseRecord {
  if (bytes.length > MAX_RECORD_BYTES) throw new ForeignRecordError(place, `${bytes.length} bytes`)
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new ForeignRecordError(place, 'not JSON', { cause })
  }
  const format = typeof value === 'object' && value !== null && 'ltxd' in value ? value.ltxd : undefined
  if (typeof format === 'number' && format !== FORMAT) throw new UnknownFormatError(place, format, [FORMAT])
  const result = recordSchema.safeParse(value)
  if (!result.success) throw new ForeignRecordError(place, problemOf(result.error))
  const { ltxd: _, successor, lastLeader, uploadsMayRunMs, ...record } = result.data
  return {
    ...record,
    ...(successor !== undefined && { successor }),
    ...(lastLeader !== undefined && { lastLeader }),
    ...(uploadsMayRunMs !== undefined && { uploadsMayRunMs }),
  }
}

function problemOf({ issues: [issue] }: z.ZodError): string {
  return `${issue?.path.join('.') || 'record'}: ${issue?.message ?? 'unexpected'}`
}
