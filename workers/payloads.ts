/** The content of jobs. Parsed on both sides: what other programs put into Redis is untrusted input. */

import { isAbsolute, normalize } from 'node:path'
import { z } from 'zod'
import { MAX_COMPACTION_LEVEL } from '../src/backup/history/layout.ts'
import { parseTimestamp } from '../src/backup/history/metadata.ts'
import type { Target } from '../src/backup/history/plan.ts'
import { encodeDatabaseName } from '../src/log/database-name.ts'
import { parseTXID, type TXID } from '../src/ltx/format/types.ts'
import { checkKey } from '../src/objectstore/keys.ts'
import { errorMessage, LtxdError } from '../src/util/errors.ts'
import { assertFormat } from '../src/util/format-number.ts'
import { redactUrl } from '../src/util/log.ts'
import type { QueueName } from './queues.ts'

const MAX_TEXT = 2048
const MAX_DURATION_MS = 3650 * 24 * 3_600_000

/** A `backup` is an address without credentials. The worker has its own, from its environment. */
const storeUrl = z
  .string()
  .max(MAX_TEXT)
  .refine((url) => URL.canParse(url), 'is not a URL')
  .refine((url) => !URL.canParse(url) || redactUrl(url) === new URL(url).toString(), 'holds credentials')

const database = z.string().superRefine((name, context) => reportProblem(context, () => encodeDatabaseName(name)))

const txid = z
  .string()
  .regex(/^[0-9a-f]{1,16}$/, 'is not a transaction: up to 16 hexadecimal digits')
  .regex(/[^0]/, 'transactions begin at 1')

const target = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('newest') }),
  z.strictObject({ kind: z.literal('txid'), txid }),
  z.strictObject({
    kind: z.literal('timestamp'),
    timestamp: z
      .string()
      .refine((text) => parseTimestamp(text) !== undefined, 'is not a time such as 2026-01-31T12:00:00Z'),
  }),
])

/** A file below the worker's output directory, or an object. */
const output = z.union([
  z.strictObject({ path: z.string().min(1).max(MAX_TEXT).refine(isInside, 'leads out of the output directory') }),
  z.strictObject({
    key: z.string().superRefine((key, context) => reportProblem(context, () => checkKey(key))),
    /** A store other than the backup's. */
    store: storeUrl.optional(),
  }),
])

const durationMs = z.int().min(0).max(MAX_DURATION_MS)
const base = { backup: storeUrl, database }

export const PAYLOADS = {
  /** Brings levels 1 to `level` up to date. */
  compact: z.strictObject({ ...base, level: z.int().min(1).max(MAX_COMPACTION_LEVEL) }),
  /** Makes a snapshot of the newest state in the backup. */
  snapshot: z.strictObject(base),
  retain: z.strictObject({ ...base, snapshotRetentionMs: durationMs, level0RetentionMs: durationMs }),
  /** Restores the database as of a target to a file or an object. */
  restore: z.strictObject({ ...base, target: target.default({ kind: 'newest' }), output }),
} as const satisfies Record<QueueName, z.ZodType>

export type Payload<Q extends QueueName> = z.output<(typeof PAYLOADS)[Q]>
export type RestoreTarget = Payload<'restore'>['target']

/** A retry never helps. */
export class PayloadError extends LtxdError {
  constructor(queue: QueueName, problem: string) {
    super('JOB_INVALID', `a job of queue ${queue} cannot be done: ${problem}`, 2)
  }
}

/**
 * The format of a job's content. Nothing writes it yet, because workers of version 0.1 reject a job that has it: a job
 * without a number has format 1.
 */
const FORMAT = 1

/** Throws PayloadError, which names every wrong field and repeats none of the content. */
export function parsePayload<Q extends QueueName>(queue: Q, value: unknown): Payload<Q> {
  const result = PAYLOADS[queue].safeParse(withoutFormat(queue, value))
  if (result.success) return result.data as Payload<Q>
  const problems = result.error.issues.map(({ path, message }) => `${path.join('.') || 'its data'}: ${message}`)
  throw new PayloadError(queue, problems.join('; '))
}

function withoutFormat(queue: QueueName, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('format' in value)) return value
  try {
    assertFormat('its data', value, [FORMAT])
  } catch (error) {
    throw new PayloadError(queue, errorMessage(error))
  }
  const { format: _, ...payload } = value
  return payload
}

export function toTarget(value: RestoreTarget): Target {
  switch (value.kind) {
    case 'newest':
      return value
    case 'txid':
      return { kind: 'txid', txid: parseTXID(value.txid) }
    case 'timestamp':
      return { kind: 'timestamp', timestampMs: parseTimestamp(value.timestamp) ?? 0 }
  }
}

export function txidTarget(value: TXID): RestoreTarget {
  return { kind: 'txid', txid: value.toString(16) }
}

function isInside(path: string): boolean {
  return !isAbsolute(path) && !path.includes('\0') && !path.endsWith('/') && !/^\.\.?(\/|$)/.test(normalize(path))
}

function reportProblem(context: z.RefinementCtx, check: () => unknown): void {
  try {
    check()
  } catch (error) {
    context.addIssue({ code: 'custom', message: errorMessage(error) })
  }
}
