/** The API from the other side: what commands, and peers, ask a running node. */

import { z } from 'zod'
import { errorCode, LtxdError } from '../util/errors.ts'
import { formatDuration } from '../util/units.ts'
import type { RoleAnswer } from './role-commands.ts'
import type { NodeStatus } from './status.ts'

const STATUS_TIMEOUT_MS = 5_000
/** A change of the lead waits for replicas, and for what is being written to the backup. */
const ROLE_TIMEOUT_MS = 30_000

const refusal = z.object({ error: z.object({ code: z.string(), message: z.string() }) })
const roleAnswer = z.object({
  nodeId: z.string(),
  role: z.enum(['primary', 'replica', 'idle']),
  term: z.string().optional(),
})

/** Throws LtxdError NODE_UNREACHABLE when nobody, or somebody else, answers. */
export async function fetchStatus(url: string): Promise<NodeStatus> {
  const response = await send(`${url}/status`, {}, STATUS_TIMEOUT_MS, unreachable)
  const body = await bodyOf(response)
  if (response.ok && isStatus(body)) return body
  throw notOurs(url, response, 'a status')
}

/** Resolves when the node leads. Throws what the node says against it, NODE_UNREACHABLE, or OUTCOME_UNKNOWN. */
export function requestPromotion(
  url: string,
  timeoutMs = ROLE_TIMEOUT_MS,
  { force = false } = {},
): Promise<RoleAnswer> {
  return post(url, '/promote', force ? { force } : {}, timeoutMs)
}

/** Asks the primary at `url` to hand over to the replica of that id or hostname. Throws as `requestPromotion` does. */
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
  const refused = refusal.safeParse(answer)
  if (!refused.success || response.status === 404) throw notOurs(url, response, `an answer to POST ${path}`)
  throw new LtxdError(refused.data.error.code, refused.data.error.message)
}

type Failure = (url: string, reason: string, error: unknown) => LtxdError

async function send(url: string, request: RequestInit, timeoutMs: number, failure: Failure): Promise<Response> {
  try {
    return await fetch(url, { ...request, signal: AbortSignal.timeout(timeoutMs) })
  } catch (error) {
    const silent = error instanceof Error && error.name === 'TimeoutError'
    const reason = silent ? `silent for ${formatDuration(timeoutMs)}` : (errorCode(causeOf(error)) ?? '')
    throw failure(new URL(url).origin, reason, error)
  }
}

function unreachable(url: string, reason: string, cause: unknown): LtxdError {
  const message = `no node answers at ${url}${reason === '' ? '' : ` (${reason})`}: is "ltxd mount" running?`
  return new LtxdError('NODE_UNREACHABLE', message, 1, { cause })
}

/** It was asked, and what it does, or did, is not known. */
function unknown(url: string, reason: string, cause: unknown): LtxdError {
  const message =
    `the node at ${url} was asked, but did not answer${reason === '' ? '' : ` (${reason})`}: ` +
    `the lead may change or not, "ltxd status" shows it`
  return new LtxdError('OUTCOME_UNKNOWN', message, 1, { cause })
}

function notOurs(url: string, response: Response, expected: string): LtxdError {
  const what = response.ok ? `something else than ${expected}` : `HTTP ${response.status}`
  return new LtxdError('NODE_UNREACHABLE', `${url} answered with ${what}: is it the API of an ltxd node?`)
}

function bodyOf(response: Response): Promise<unknown> {
  return response.json().catch(() => undefined)
}

/** fetch hides what happened behind "fetch failed". */
function causeOf(error: unknown): unknown {
  return error instanceof Error ? (error.cause ?? error) : error
}

function isStatus(body: unknown): body is NodeStatus {
  return typeof body === 'object' && body !== null && 'nodeId' in body && 'databases' in body
}
