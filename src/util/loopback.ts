import { isIP } from 'node:net'

/** Whether a host's name or address (without brackets) only ever means this machine. Names other than localhost never do. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase()
  if (name === 'localhost') return true
  return isIP(name) === 4 ? name.startsWith('127.') : name === '::1'
}
