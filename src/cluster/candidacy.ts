/** How far a node is that would lead: what candidates tell each other in an election, through the lease's store. */

import { createHash } from 'node:crypto'
import { z } from 'zod'
import { termText } from '../data/term.ts'
import { hostname, type NodeName, nodeName } from '../util/node-address.ts'

/** The position of each database, by its name's hash. */
export type Positions = ReadonlyMap<bigint, bigint>

export interface Candidacy {
  readonly nodeId: string
  readonly hostname: string
  /** The state of the lease's key for which this node stands (recordKey). It counts for no other. */
  readonly of: string
  /** The highest term that the node knows. */
  readonly knownTerm: bigint
  /** The term of the last leader whose whole history the node has had. */
  readonly historyTerm: bigint
  readonly positions: Positions
  /** The other nodes of the cluster that it knows. */
  readonly nodes: readonly NodeName[]
  /** The last record that its process has seen. */
  readonly witnessed: { readonly term: bigint; readonly holder: string } | undefined
  /** It must not lead. It only shows that there is a cluster, and which terms it knows. */
  readonly isUnfit: boolean
}

/** Larger values are ignored. 16,384 databases take 310 KB; Consul's limit is 512 KB. */
const MAX_CANDIDACY_BYTES = 500_000

/**
 * Whether `a` has more than `b`. Nodes that have had all of the same leader's history differ only in how far they have
 * followed it, so TXIDs compare them. If each is ahead in some database, the greater sum decides, then the id: any
 * order will do as long as all nodes agree on it.
 */
export function isAhead(a: Candidacy, b: Candidacy): boolean {
  if (a.historyTerm !== b.historyTerm) return a.historyTerm > b.historyTerm
  const [more, less] = [exceeds(a.positions, b.positions), exceeds(b.positions, a.positions)]
  if (!more || !less) return more
  const [x, y] = [sum(a.positions), sum(b.positions)]
  return x === y ? a.nodeId > b.nodeId : x > y
}

/** What a candidate learns from the others. */
export interface Comparison {
  /** The fit candidates that have more, the one that has most first. */
  readonly ahead: readonly NodeName[]
  /**
   * Nodes that any of them knows, and that have not published. Not the last leader, if one of them has seen it lead and
   * has had its whole history: what it alone has is lost with it, as in any fail-over.
   */
  readonly absent: readonly NodeName[]
  /** The highest term that any of them knows. */
  readonly knownTerm: bigint
}

export function compare(own: Candidacy, published: readonly Candidacy[]): Comparison {
  const others = published.filter(({ nodeId }) => nodeId !== own.nodeId)
  const standing = [own, ...others.filter(({ of }) => of === own.of)]
  const ahead = others.filter((other) => other.of === own.of && !other.isUnfit && isAhead(other, own))
  const absent = new Map(standing.flatMap(({ nodes }) => nodes.map((node) => [node.nodeId, node])))
  for (const { nodeId } of standing) absent.delete(nodeId)
  const last = standing.reduce((a, { witnessed: b }) => (b && b.term > (a?.term ?? 0n) ? b : a), own.witnessed)
  const has = (term: bigint) => standing.some((each) => each.witnessed?.term === term && each.historyTerm >= term)
  if (last !== undefined && has(last.term)) absent.delete(last.holder)
  return {
    ahead: ahead
      .sort((a, b) => (isAhead(a, b) ? -1 : Number(isAhead(b, a))))
      .map(({ nodeId, hostname }) => ({ nodeId, hostname })),
    absent: [...absent.values()],
    knownTerm: others.reduce((term, { knownTerm }) => (knownTerm > term ? knownTerm : term), own.knownTerm),
  }
}

function exceeds(a: Positions, b: Positions): boolean {
  for (const [name, txid] of a) if (txid > (b.get(name) ?? 0n)) return true
  return false
}

function sum(positions: Positions): bigint {
  let total = 0n
  for (const txid of positions.values()) total += txid
  return total
}

export function positionsOf(databases: Iterable<readonly [name: string, txid: bigint]>): Positions {
  return new Map(Array.from(databases, ([name, txid]) => [hashOf(name), txid]))
}

function hashOf(name: string): bigint {
  return createHash('sha256').update(name).digest().readBigUInt64BE()
}

const FORMAT = 1
const schema = z.object({
  ltxd: z.literal(FORMAT),
  nodeId: z.string().regex(/^[0-9a-f]{16}$/),
  hostname: hostname.min(1),
  of: z.string().max(200),
  knownTerm: termText,
  historyTerm: termText,
  positions: z.base64(),
  /** Absent from what an earlier build wrote. */
  nodes: z.array(nodeName).optional(),
  witnessed: z.object({ term: termText, holder: nodeName.shape.nodeId }).optional(),
  isUnfit: z.boolean(),
})

export function encodeCandidacy({ positions, ...rest }: Candidacy): Buffer {
  const bigints = (_: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value)
  return Buffer.from(JSON.stringify({ ltxd: FORMAT, ...rest, positions: encodePositions(positions) }, bigints))
}

/** undefined for what is no candidacy, or one of a later version: it counts for nothing. */
export function parseCandidacy(bytes: Uint8Array): Candidacy | undefined {
  if (bytes.length > MAX_CANDIDACY_BYTES) return undefined
  try {
    const {
      ltxd: _,
      positions,
      nodes = [],
      witnessed,
      ...rest
    } = schema.parse(JSON.parse(new TextDecoder().decode(bytes)))
    return { ...rest, nodes, witnessed, positions: parsePositions(Buffer.from(positions, 'base64')) }
  } catch {
    return undefined
  }
}

/** 8 bytes of hash, then 6 of TXID, for each database. */
const ENTRY_BYTES = 14
const MAX_POSITION = 2n ** 48n - 1n

function encodePositions(positions: Positions): string {
  const bytes = Buffer.alloc(positions.size * ENTRY_BYTES)
  let at = 0
  for (const [hash, txid] of positions) {
    bytes.writeBigUInt64BE(hash, at)
    bytes.writeUIntBE(Number(txid > MAX_POSITION ? MAX_POSITION : txid), at + 8, 6)
    at += ENTRY_BYTES
  }
  return bytes.toString('base64')
}

function parsePositions(bytes: Buffer): Positions {
  const positions = new Map<bigint, bigint>()
  for (let at = 0; at + ENTRY_BYTES <= bytes.length; at += ENTRY_BYTES) {
    positions.set(bytes.readBigUInt64BE(at), BigInt(bytes.readUIntBE(at + 8, 6)))
  }
  return positions
}
