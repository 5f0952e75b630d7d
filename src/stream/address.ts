/** Who a node is, and where its peers reach it. */
export interface NodeAddress {
  /** 16 hex digits. */
  readonly nodeId: string
  readonly hostname: string
  /** `http://HOST:PORT` of its API. */
  readonly url: string
}
