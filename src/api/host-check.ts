import { isLoopback } from '../util/loopback.ts'

/**
 * Whether a request's Host header names this machine's loopback. A web page whose own name resolves to 127.0.0.1 (DNS
 * rebinding) sends that name, and is rejected. Any port is accepted, because the API's port may be forwarded.
 */
export function isLoopbackHost(header: string | undefined): boolean {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+))(?::\d{1,5})?$/i.exec(header ?? '')
  return match !== null && isLoopback((match[1] ?? match[2] ?? '').replace(/\.$/, ''))
}
