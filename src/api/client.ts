/** The client of the API: requests of commands and of peers to a running node. */

import { Readable } from 'node:stream'
import { z } from 'zod'
import { errorCode, LtxdError } from '../util/errors.ts'
import { describeDuration } from '../util/units.ts'
import type { RoleAnswer } from './role-commands.ts'
import type { NodeStatus } from './status.ts'

const STATUS_TIMEOUT_MS = 5_000
/** A change of primary waits for replicas, and for uploads that are under way. */
const ROLE_TIMEOUT_MS = 30_000
/** The status of some 100,000 databases (I10). */
const MAX_ANSWER_BYTES = 64 << 20

const rejection = z.object({ error: z.object({ code: z.string(), message: z.string() }) })
const roleAnswer = z.object({
  nodeId: z.string(),
  role: z.enum(['primary', 'replica', 'idle']),
  term: z.string().optional(),
})

/** Throws LtxdError NODE_UNREACHABLE when nothing answers, or something other than ltxd. */
export async function fetchStatus(url: string): Promise<NodeStatus> {
  const response = await send(`${url}/status`, {}, STATUS_TIMEOUT_MS, unreachable)
  const body = await bodyOf(response)
  if (response.ok && isStatus(body)) return body
  throw notOurs(url, response, 'a status')
}

/** Resolves when the node leads. Throws the node's own error, NODE_UNREACHABLE, or OUTCOME_UNKNOWN. */
export function requestPromotion(
  url: string,
  timeoutMs = ROLE_TIMEOUT_MS,
  { force = false } = {},
): Promise<RoleAnswer> {
  return post(url, '/promote', force ? { force } : {}, timeoutMs)
}

/**
 * Requests a handoff from the primary at `url` to the replica with this id or hostname. Throws as `requestPromotion`.
 */
export function requestHandoff(url: string, node: string, timeoutMs = ROLE_TIMEOUT_MS): Promise<RoleAnswer> {
  return post(url, '/handoff', { node }, timeoutMs)
}

async function post(url: string, path: string, body: object, timeoutMs: number): Promise<RoleAnswer> {
  const headers = { 'content-type': 'application/json' }
  const request = { method: 'POST', headers, body: JSON.stringify(body) }
  const response = await send(`${url}${path}`, request, timeoutMs, (_, reason, error) => {
    return errorCode(causeOf(error)) === 'ECONNREFUSED' ? unreachable(url, reason, error) : unknown(url, reason, error)
  })
  const answer = await bodyOf(response)
  const done = roleAnswer.safeParse(answer)
  if (response.ok && done.success) {
    const { nodeId, role, term } = done.data
    return { nodeId, role, ...(term !== undefined && { term }) }
  }
  const rejected = rejection.safeParse(answer)
  if (!rejected.success || response.status === 404) throw notOurs(url, response, `an answer to POST ${path}`)
  throw new LtxdError(rejected.data.error.code, rejected.data.error.message)
}

type Failure = (url: string, reason: string, error: unknown) => LtxdError

async function send(url: string, request: RequestInit, timeoutMs: number, failure: Failure): Promise<Response> {
  try {
    return await fetch(url, { ...request, redirect: 'error', signal: AbortSignal.timeout(timeoutMs) })
  } catch (error) {
    const silent = error instanceof Error && error.name === 'TimeoutError'
    const reason = silent ? `no answer within ${describeDuration(timeoutMs)}` : (errorCode(causeOf(error)) ?? '')
    throw failure(new URL(url).origin, reason, error)
  }
}

function unreachable(url: string, reason: string, cause: unknown): LtxdError {
  const message = `no node answers at ${url}${reason === '' ? '' : ` (${reason})`}: start it with "ltxd mount"`
  return new LtxdError('NODE_UNREACHABLE', message, 1, { cause })
}

/** The node received the request, but its outcome is not known. */
function unknown(url: string, reason: string, cause: unknown): LtxdError {
  const message =
    `the node at ${url} did not answer the request${reason === '' ? '' : ` (${reason})`}: ` +
    `the primary may still change, see "ltxd status"`
  return new LtxdError('OUTCOME_UNKNOWN', message, 1, { cause })
}

function notOurs(url: string, response: Response, expected: string): LtxdError {
  const found = response.ok ? 'something else' : `HTTP ${response.status}`
  const message = `${url} answered with ${found}, expected ${expected}: name the API of an ltxd node`
  return new LtxdError('NODE_UNREACHABLE', message)
}

/** The parsed body; undefined when it is no JSON, or longer than any node's. */
async function bodyOf(response: Response): Promise<unknown> {
  const body: AsyncIterable<Uint8Array> = response.body ?? Readable.from([])
  const chunks: Uint8Array[] = []
  let sizeBytes = 0
  try {
    for await (const chunk of body) {
      sizeBytes += chunk.length
      if (sizeBytes > MAX_ANSWER_BYTES) return undefined
      chunks.push(chunk)
    }
    return JSON.parse(Buffer.concat(chunks).toString())
  } catch {
    return undefined
  }
}

/** fetch hides the system's error behind "fetch failed". */
function causeOf(error: unknown): unknown {
  return error instanceof Error ? (error.cause ?? error) : error
}

function isStatus(body: unknown): body is NodeStatus {
  return typeof body === 'object' && body !== null && 'nodeId' in body && 'databases' in body
}
