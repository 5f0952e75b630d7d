import { z } from 'zod'

/** A peer's hostname. It appears in log lines and in files on the mount. */
export const hostname = z
  .string()
  .max(255)
  .regex(/^[^\p{Cc}\p{Bidi_Control}]*$/u, 'contains control characters')

/** Where peers reach a node: `http://HOST:PORT`, without credentials, path, query and fragment. */
export const peerUrl = z.string().max(2048).refine(isPeerUrl, 'is no URL of a node: expected http://HOST:PORT')

function isPeerUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, username, password, pathname, search, hash } = new URL(text)
  // Peers stream over plain HTTP only.
  const bare = username === '' && password === '' && pathname === '/' && search === '' && hash === ''
  return bare && protocol === 'http:' && !/[?#]/.test(text)
}

/** A node, as people and nodes name it. */
export interface NodeName {
  /** 16 hex digits. */
  readonly nodeId: string
  readonly hostname: string
}

export const nodeName = z.object({ nodeId: z.string().regex(/^[0-9a-f]{16}$/), hostname })

/** A node's identity, and the URL at which its peers reach it. */
export interface NodeAddress {
  /** 16 hex digits; zeros when only the address is known (a static primary, seen from its replicas). */
  readonly nodeId: string
  readonly hostname: string
  /** `http://HOST:PORT` of the node's API. */
  readonly url: string
}
