/** The content of jobs. Parsed on both sides: what other programs put into Redis is untrusted input. */

import { z } from 'zod'
import { MAX_COMPACTION_LEVEL } from '../src/backup/history/layout.ts'
import { parseTimestamp } from '../src/backup/history/metadata.ts'
import type { Target } from '../src/backup/history/plan.ts'
import { encodeDatabaseName } from '../src/log/database-name.ts'
import { parseTXID, type TXID } from '../src/ltx/format/types.ts'
import { errorMessage, LtxdError } from '../src/util/errors.ts'
import { assertFormat } from '../src/util/format-number.ts'
import { holdsSecret } from '../src/util/redact.ts'
import { shorten } from '../src/util/shorten.ts'
import { outputKeyProblem, outputPathProblem } from './output-names.ts'
import type { QueueName } from './queues.ts'
import { STORE_NAME } from './store-definitions.ts'

const MAX_TEXT = 2048
/** No database has a longer name. */
const MAX_DATABASE_NAME = 1024
const MAX_PROBLEMS = 1000
const MAX_DURATION_MS = 3650 * 24 * 3_600_000

/** A text of bounded length. With `abort`, a longer one is looked at no further. */
const bounded = (max: number, abort = true) => z.string().max(max, { error: `is longer than ${max} characters`, abort })

/**
 * A store of the worker's configuration: its name, or its URL without credentials. The worker has its own, from its
 * environment.
 */
const store = bounded(MAX_TEXT).superRefine((reference, context) => {
  if (STORE_NAME.test(reference)) return
  const issue = (message: string) => context.addIssue({ code: 'custom', message })
  if (!URL.canParse(reference)) issue('is neither a URL nor the name of a store')
  else if (holdsSecret(reference)) issue('holds credentials, which belong into the environment of the worker')
})

const database = bounded(MAX_DATABASE_NAME).superRefine((name, context) =>
  reportProblem(context, () => encodeDatabaseName(name)),
)

const txid = bounded(16)
  .regex(/^[0-9a-f]{1,16}$/, 'is not a transaction: up to 16 hexadecimal digits')
  .regex(/[^0]/, 'transactions begin at 1')

const target = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('newest') }),
  z.strictObject({ kind: z.literal('txid'), txid }),
  z.strictObject({
    kind: z.literal('timestamp'),
    timestamp: bounded(64).refine(
      (text) => parseTimestamp(text) !== undefined,
      'is not a time such as 2026-01-31T12:00:00Z',
    ),
  }),
])

/** A file below the worker's output directory, or an object. */
const output = z.union([
  z.strictObject({ path: bounded(MAX_TEXT, false).superRefine(problemWith(outputPathProblem)) }),
  z.strictObject({
    key: bounded(MAX_TEXT, false).superRefine(problemWith(outputKeyProblem)),
    /** A store other than the backup's. */
    store: store.optional(),
  }),
])

const durationMs = z.int().min(0).max(MAX_DURATION_MS)
const base = { backup: store, database }

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
  throw new PayloadError(queue, shorten(problems.join('; '), MAX_PROBLEMS))
}

function withoutFormat(queue: QueueName, value: unknown): unknown {
  if (typeof value === 'object' && value !== null && 'tooLong' in value) {
    throw new PayloadError(queue, `it had ${Number(value.tooLong)} bytes, more than can be read`)
  }
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

function problemWith(problemOf: (text: string) => string | undefined) {
  return (text: string, context: z.RefinementCtx): void => {
    const message = problemOf(text)
    if (message !== undefined) context.addIssue({ code: 'custom', message })
  }
}

function reportProblem(context: z.RefinementCtx, check: () => unknown): void {
  try {
    check()
  } catch (error) {
    context.addIssue({ code: 'custom', message: errorMessage(error) })
  }
}
