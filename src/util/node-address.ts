/** Who a node is, and where its peers reach it. */
export interface NodeAddress {
  /** 16 hex digits; zeros where only an address is known (a static primary, seen from its replicas). */
  readonly nodeId: string
  readonly hostname: string
  /** `http://HOST:PORT` of its API. */
  readonly url: string
}
