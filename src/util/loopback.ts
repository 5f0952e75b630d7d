import { isIP } from 'node:net'

/** Whether a host name or an address (without brackets) always means this machine. Of names, only localhost does. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase()
  if (name === 'localhost') return true
  return isIP(name) === 4 ? name.startsWith('127.') : name === '::1'
}
