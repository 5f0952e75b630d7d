/** A node's identity, and the URL at which its peers reach it. */
export interface NodeAddress {
  /** 16 hex digits; zeros when only the address is known (a static primary, seen from its replicas). */
  readonly nodeId: string
  readonly hostname: string
  /** `http://HOST:PORT` of the node's API. */
  readonly url: string
}
