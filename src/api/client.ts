/** The API from the other side: what commands ask a running node. */

import { errorCode, LtxdError } from '../util/errors.ts'
import type { NodeStatus } from './status.ts'

const TIMEOUT_MS = 5_000
const HANDOFF_TIMEOUT_MS = 30_000

/** Throws LtxdError NODE_UNREACHABLE when nobody, or somebody else, answers. */
export async function fetchStatus(url: string): Promise<NodeStatus> {
  const response = await request(url)
  const body: unknown = await response.json().catch(() => undefined)
  if (response.ok && isStatus(body)) return body
  const what = response.ok ? 'something else than a status' : `HTTP ${response.status}`
  throw new LtxdError('NODE_UNREACHABLE', `${url} answered with ${what}: is it the API of an ltxd node?`)
}

/** Asks the primary at `url` to pass its lease to a replica of its. Throws LtxdError with what it answers. */
export async function askForHandoff(url: string, node: string): Promise<void> {
  const answer = await post(`${url}/handoff`, { node })
  if (answer.ok) return
  const body = (await answer.json().catch(() => undefined)) as
    { error?: { code?: string; message?: string } } | undefined
  const { code = 'HANDOFF_FAILED', message = `${url} answered with HTTP ${answer.status}` } = body?.error ?? {}
  throw new LtxdError(code, message)
}

async function post(url: string, body: unknown): Promise<Response> {
  const signal = AbortSignal.timeout(HANDOFF_TIMEOUT_MS)
  const headers = { 'content-type': 'application/json' }
  return fetch(url, { method: 'POST', headers, body: JSON.stringify(body), signal })
}

async function request(url: string): Promise<Response> {
  try {
    return await fetch(`${url}/status`, { signal: AbortSignal.timeout(TIMEOUT_MS) })
  } catch (error) {
    const cause = error instanceof Error ? (error.cause ?? error) : error
    const reason =
      errorCode(cause) ??
      (error instanceof Error && error.name === 'TimeoutError' ? `silent for ${TIMEOUT_MS / 1000} s` : '')
    const message = `no node answers at ${url}${reason === '' ? '' : ` (${reason})`}: is "ltxd mount" running?`
    throw new LtxdError('NODE_UNREACHABLE', message, 1, { cause: error })
  }
}

function isStatus(body: unknown): body is NodeStatus {
  return typeof body === 'object' && body !== null && 'nodeId' in body && 'databases' in body
}
