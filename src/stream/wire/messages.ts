/**
 * The messages between nodes. They are parsed here, once, and typed from then on. Unknown fields are ignored, so that a
 * later version may add some.
 */

import { z } from 'zod'
import { MAX_FOLDERS } from '../../data/database-owner.ts'
import { termText } from '../../data/term.ts'
import { databaseNameProblem } from '../../log/database-name.ts'
import { MAX_TXID } from '../../log/limits.ts'
import type { Checksum, Position, TXID } from '../../ltx/format/types.ts'
import { formatPosition, parseChecksum, parsePosition, parseTXID } from '../../ltx/format/types.ts'
import { shortened } from '../../util/log-text.ts'
import { hostname, nodeName, peerUrl } from '../../util/node-address.ts'
import { MAX_ID, ownerOf } from '../../util/owner.ts'
import { MAX_TIME_MS, MIN_TIME_MS } from '../../util/time.ts'
import { StreamProtocolError } from './errors.ts'
import type { Frame } from './wire.ts'
import { encodeFrame } from './wire.ts'

/** Grows when the previous version could not understand the stream. */
export const PROTOCOL_VERSION = 2
export const CONTENT_TYPE = 'application/x-ltxd-stream'
/** Each end sends a message at least this often. An end that receives nothing for several of these disconnects. */
export const HEARTBEAT_MS = 1_000
/** How many of its newest positions a replica sends to find where two histories diverge. */
export const MAX_HISTORY = 4096
/** Databases that one end of a stream may name: more than a node can have. */
export const MAX_NAMES = 65_536
/** More than a node remembers. */
const MAX_NODES = 256
/** Positions in one message. */
const MAX_POSITIONS = 1024
const MAX_TEXT = 4096

const hex16 = z.string().regex(/^[0-9a-f]{16}$/)
const name = z.string().refine((text) => databaseNameProblem(text) === undefined, 'not a database name')
const txid = hex16.transform((text): TXID => parseTXID(text)).refine((value) => value <= MAX_TXID, 'is too large')
/** A checksum before a transaction; zero before the first. */
const preApply = hex16.transform((text): Checksum | 0n => {
  const value = parseChecksum(text)
  return value === 0n ? 0n : value
})
const position = z
  .string()
  .regex(/^[0-9a-f]{16}\/[0-9a-f]{16}$/)
  .transform((text): Position => parsePosition(text))
  .refine((value) => value.txid <= MAX_TXID, 'is too large')
const positions = z.array(z.tuple([name, position])).max(MAX_POSITIONS)
/** Appears in log lines. */
const text = z.string().max(MAX_TEXT).transform(shortened)
const time = z.int().min(MIN_TIME_MS).max(MAX_TIME_MS)
const count = z.int().min(0)
/** The number of a replica's request for one database. The answer has the same number. */
const requestNumber = z.int().min(0)
const id = z.int().min(0).max(MAX_ID)
const owner = z.object({ uid: id, gid: id, mode: z.int().min(0).max(0o7777) }).transform(ownerOf)
const clusterId = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[^\p{Cc}\p{Bidi_Control}]*$/u)
const hello = { type: z.literal('hello'), protocol: z.int(), nodeId: hex16, hostname, term: termText }

const fromReplica = z.discriminatedUnion('type', [
  /**
   * `owners`, `nodes`: the replica understands the messages `owner` and `nodes`. `candidate: false`: it never leads, so
   * it must not become the successor.
   */
  z.object({
    ...hello,
    url: peerUrl,
    clusterId: clusterId.optional(),
    owners: z.boolean().optional(),
    nodes: z.boolean().optional(),
    candidate: z.boolean().optional(),
  }),
  /** The replica's positions. `complete` marks the last of these messages. */
  z.object({ type: z.literal('positions'), positions, complete: z.boolean() }),
  /** Applied up to here. */
  z.object({ type: z.literal('acknowledge'), positions }),
  /** Bytes of one database that the sink has consumed. */
  z.object({ type: z.literal('credit'), database: name, bytes: count }),
  z.object({ type: z.literal('history'), database: name, positions: z.array(position).max(MAX_HISTORY) }),
  /** Continue from `position`, or with a snapshot where there is none. */
  z.object({
    type: z.literal('restart'),
    database: name,
    number: requestNumber,
    position: position.nullable(),
    reason: text,
  }),
  /** `leaving`: the node stops, so it must not become the successor. A `heartbeat` that says `leaving` answers. */
  z.object({ type: z.literal('alive'), leaving: z.boolean().optional() }),
])

const fromPrimary = z.discriminatedUnion('type', [
  /** `leaves`: the primary understands `leaving`. */
  z.object({ ...hello, clusterId, leaves: z.boolean().optional() }),
  /**
   * Owner and mode of the database's file, and of the directories above it. Comes before what follows of the database,
   * and again after a change. Only for replicas that say `owners`.
   */
  z.object({
    type: z.literal('owner'),
    database: name,
    owner: z.object({ file: owner, folders: z.array(owner).max(MAX_FOLDERS) }),
  }),
  /** The nodes of the cluster. Comes first, and again after a change. Only for replicas that say `nodes`. */
  z.object({ type: z.literal('nodes'), nodes: z.array(nodeName).max(MAX_NODES).readonly() }),
  /** The body holds the LTX file, or its beginning: `chunk`s follow up to `sizeBytes`. */
  z.object({
    type: z.literal('transaction'),
    database: name,
    txid,
    preApplyChecksum: preApply,
    postApplyChecksum: hex16.transform((digits) => parseChecksum(digits)),
    timestampMs: time,
    sizeBytes: count,
  }),
  /** `chunk`s with an LTX file of `sizeBytes` follow. */
  z.object({
    type: z.literal('snapshot'),
    database: name,
    position,
    preApplyChecksum: preApply,
    timestampMs: time,
    sizeBytes: z.int().min(1),
    fork: txid.nullable(),
    diverged: z.boolean(),
    reason: text,
  }),
  z.object({ type: z.literal('chunk'), database: name }),
  /** The database's current transaction or snapshot ends here, incomplete. */
  z.object({ type: z.literal('abort'), database: name, reason: text }),
  /** Everything that follows of this database answers the restart with that number. */
  z.object({ type: z.literal('restarted'), database: name, number: requestNumber }),
  /** `dropped`: a database of the name was dropped there, and one that is made anew continues from there. */
  z.object({ type: z.literal('unknown'), database: name, dropped: position.optional() }),
  z.object({ type: z.literal('history-wanted'), database: name }),
  /** `withholds`: the primary lacks part of the history, of databases that it does not lead yet. */
  z.object({ type: z.literal('caught-up'), withholds: z.literal(true).optional() }),
  /** `sentAll`: the replica has received everything that is committed, as of this message. */
  z.object({
    type: z.literal('heartbeat'),
    leaving: z.boolean().optional(),
    sentAll: z.boolean().optional(),
  }),
  z.object({ type: z.literal('end'), code: z.string().max(64), reason: text }),
])

export type ReplicaMessage = z.output<typeof fromReplica>
export type PrimaryMessage = z.output<typeof fromPrimary>
export type ReplicaHello = Extract<ReplicaMessage, { type: 'hello' }>
export type PrimaryHello = Extract<PrimaryMessage, { type: 'hello' }>
export type TransactionMessage = Extract<PrimaryMessage, { type: 'transaction' }>
export type SnapshotMessage = Extract<PrimaryMessage, { type: 'snapshot' }>

/** Throws StreamProtocolError. */
export function parseReplicaMessage(frame: Frame): ReplicaMessage {
  return parse(fromReplica, frame)
}

/** Throws StreamProtocolError. */
export function parsePrimaryMessage(frame: Frame): PrimaryMessage {
  return parse(fromPrimary, frame)
}

function parse<T>(schema: z.ZodType<T>, { header }: Frame): T {
  const result = schema.safeParse(header)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const where = issue === undefined || issue.path.length === 0 ? 'a message' : `"${issue.path.join('.')}" of a message`
  throw new StreamProtocolError(`${where} is not as expected (${issue?.message ?? 'invalid'})`)
}

export function encodeReplicaMessage(message: ReplicaMessage): Buffer {
  return encodeFrame(plain(message))
}

export function encodePrimaryMessage(message: PrimaryMessage, ...body: readonly Uint8Array[]): Buffer {
  return encodeFrame(plain(message), ...body)
}

/** Turns 64-bit values into the text that the schemas read. */
function plain(message: ReplicaMessage | PrimaryMessage): object {
  return Object.fromEntries(Object.entries(message).map(([key, value]) => [key, plainValue(key, value)]))
}

function plainValue(key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return key === 'term' ? value.toString() : value.toString(16).padStart(16, '0')
  if (Array.isArray(value)) return value.map((item) => plainValue(key, item))
  if (typeof value === 'object' && value !== null && 'txid' in value) return formatPosition(value as Position)
  return value
}

/** Divides positions into as few messages as frames allow. */
export function* positionMessages(all: Iterable<readonly [string, Position]>): Generator<[string, Position][], void> {
  let batch: [string, Position][] = []
  let bytes = 0
  for (const [database, at] of all) {
    batch.push([database, at])
    bytes += 64 + 6 * database.length
    if (batch.length < MAX_POSITIONS && bytes < 128 * 1024) continue
    yield batch
    batch = []
    bytes = 0
  }
  if (batch.length > 0) yield batch
}
