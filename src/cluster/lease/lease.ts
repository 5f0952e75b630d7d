/** The right to be primary: its record, and what every place that keeps one can do with it. */

import { z } from 'zod'
import type { LtxdError } from '../../util/errors.ts'
import type { NodeAddress } from '../../util/node-address.ts'
import { ForeignRecordError } from './errors.ts'

export type { NodeAddress }

/** A node that led, as far as a record tells. */
export interface Leader {
  readonly term: bigint
  readonly holder: NodeAddress
  /** Where all that it committed is: with a replica or in the backup; with nobody else as far as it knew; it could not say. */
  readonly kept: 'elsewhere' | 'alone' | 'unknown'
}

export interface LeaseRecord {
  /** Only grows, with each holder. 0 where the lease cannot say (static, seen from a replica). */
  readonly term: bigint
  /** Who holds it, or who released it. */
  readonly holder: NodeAddress
  readonly state: 'held' | 'released'
  /** With 'released': the node it is for, alone, for a TTL. */
  readonly successor?: string
  /**
   * The last node that took commits, or may have: with 'held' before this term, with 'released' in all. A holder that could
   * not take over is none. Absent: nobody did.
   */
  readonly lastLeader?: Leader
  /**
   * For so long after this was written, uploads of those who held the lease before may still reach the backup; those of the
   * holder itself not counted. Absent: none can.
   */
  readonly uploadsMayRunMs?: number
  /** Chosen by the cluster's first primary. Empty where the lease cannot say (static). */
  readonly clusterId: string
  /** How long a silent holder may be alive. Infinity: for ever (static). */
  readonly ttlMs: number
  /** Grows with each renewal, so that a record which does not change is a holder that does not renew. */
  readonly renewals: number
}

/** Names one state of the place where the record is; a write says which one it is about to replace. */
export type LeaseVersion = string

/** What was found where the record is. */
export type LeaseView =
  | { readonly kind: 'vacant' }
  | { readonly kind: 'record'; readonly record: LeaseRecord; readonly version: LeaseVersion }
  /** Nothing that this node may follow or take over. */
  | { readonly kind: 'foreign'; readonly error: LtxdError }

/** `lost`: it belongs to what is found there now. */
export type LeaseOutcome =
  { readonly kind: 'done'; readonly view: LeaseView } | { readonly kind: 'lost'; readonly view: LeaseView }

export interface LeaseWatcher {
  /** Told at each change, and now and then without one. */
  seen(view: LeaseView): void
  /** It could not be read; it goes on trying. Told at each attempt. */
  failed(error: LtxdError): void
}

/** Operations are called one after the other; each ends in bounded time. They throw LeaseUnavailableError. */
export interface Lease {
  readonly type: 'static' | 'consul'
  readonly ttlMs: number
  /** The term to lead in, where `highest` is the highest one known. */
  chooseTerm(highest: bigint): bigint
  /** Reads at once and whenever it changes, until `close`. */
  watch(watcher: LeaseWatcher): void
  /** Reads at once, instead of waiting for a change. */
  refresh(): void
  /** Replaces exactly what was seen as `over` (undefined: nothing there) by `record`. */
  acquire(record: LeaseRecord, over: LeaseVersion | undefined): Promise<LeaseOutcome>
  /** Replaces the record that this node holds in the same term. */
  renew(record: LeaseRecord): Promise<LeaseOutcome>
  release(record: LeaseRecord): Promise<LeaseOutcome>
  close(): Promise<void>
}

/** Larger values are not read: a record of this version has some hundred bytes. */
export const MAX_RECORD_BYTES = 16_384

const FORMAT = 1
const MAX_TERM = 2n ** 63n - 1n

const nodeId = z.string().regex(/^[0-9a-f]{16}$/, 'expected 16 hex digits')
const printable = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    // Goes into log lines and into files on the mount.
    .regex(/^[^\p{Cc}]*$/u, 'holds control characters')

const term = z
  .string()
  .regex(/^[1-9][0-9]{0,18}$/, 'expected a positive number')
  .transform(BigInt)
  .refine((value) => value <= MAX_TERM, 'is too large')
const holder = z.object({ nodeId, hostname: printable(255), url: z.url({ protocol: /^https?$/ }).max(2048) })

/** Unknown keys are left out, not refused: a later version may have more. */
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

export function encodeRecord(record: LeaseRecord): Buffer {
  const bigints = (_: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value)
  return Buffer.from(JSON.stringify({ ltxd: FORMAT, ...record }, bigints))
}

/** Throws ForeignRecordError, naming `place`. */
export function parseRecord(bytes: Uint8Array, place: string): LeaseRecord {
  if (bytes.length > MAX_RECORD_BYTES) throw new ForeignRecordError(place, `${bytes.length} bytes`)
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new ForeignRecordError(place, 'not JSON', { cause })
  }
  const result = recordSchema.safeParse(value)
  if (!result.success) {
    const [issue] = result.error.issues
    throw new ForeignRecordError(place, `${issue?.path.join('.') || 'record'}: ${issue?.message ?? 'unexpected'}`)
  }
  const { ltxd: _, successor, lastLeader, uploadsMayRunMs, ...record } = result.data
  return {
    ...record,
    ...(successor !== undefined && { successor }),
    ...(lastLeader !== undefined && { lastLeader }),
    ...(uploadsMayRunMs !== undefined && { uploadsMayRunMs }),
  }
}
