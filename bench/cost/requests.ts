/** What a store charges for requests. */

/** Requests by kind. `ship` are the puts of level 0: with commits in each interval there must be one for each. */
export interface Requests {
  readonly ship: number
  readonly put: number
  readonly list: number
  readonly head: number
  readonly get: number
  readonly delete: number
}

export type RequestKind = keyof Requests

export const NO_REQUESTS: Requests = { ship: 0, put: 0, list: 0, head: 0, get: 0, delete: 0 }

/** Amazon S3 Standard, us-east-1, in dollars. Deletes are free. */
const PRICES: Requests = { ship: 5e-6, put: 5e-6, list: 5e-6, head: 0.4e-6, get: 0.4e-6, delete: 0 }
export const PRICES_TEXT = 'S3 Standard, us-east-1: $0.005 for 1,000 PUT or LIST, $0.0004 for 1,000 GET or HEAD'

export const HOURS_A_MONTH = 730

const KINDS = Object.keys(NO_REQUESTS) as RequestKind[]
const LEVEL_0 = /\/0000\/[0-9a-f]{16}-[0-9a-f]{16}\.ltx$/

export function kindOf(method: string, url: string): RequestKind {
  const [path = '', search] = url.split('?')
  const query = new URLSearchParams(search)
  if (method === 'DELETE' || (method === 'POST' && query.has('delete'))) return 'delete'
  if (method === 'HEAD') return 'head'
  if (method === 'GET') return query.has('list-type') ? 'list' : 'get'
  return LEVEL_0.test(path) ? 'ship' : 'put'
}

export function scaled(requests: Requests, factor: number): Requests {
  const entries = KINDS.map((kind) => [kind, requests[kind] * factor] as const)
  return Object.fromEntries(entries) as unknown as Requests
}

export function dollars(requests: Requests): number {
  return KINDS.reduce((sum, kind) => sum + requests[kind] * PRICES[kind], 0)
}

/** All requests that are charged, beyond those that ship, as a share of those; undefined without any that ships. */
export function overhead({ ship, put, list, head, get }: Requests): number | undefined {
  return ship === 0 ? undefined : (put + list + head + get) / ship
}
