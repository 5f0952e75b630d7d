/** The kinds of value in `ltxd.yml`: each is parsed once, here. A rejection says what was expected. */

import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { globProblem } from '../util/glob.ts'
import { isLoopback } from '../util/loopback.ts'
import { MAX_ID } from '../util/owner.ts'
import { redactUrl } from '../util/redact.ts'
import { parseDuration, parseSize } from '../util/units.ts'
import { splitWords } from '../util/words.ts'
import type { HttpConfig } from './config.ts'

/** Why a value is rejected. */
class Rejection {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

/** `kind` describes the accepted values in docs/configuration.md. */
function scalar<T>(kind: string, parse: (value: unknown) => T | Rejection) {
  const schema = z.unknown().transform((value, context): T => {
    const result = parse(value)
    if (!(result instanceof Rejection)) return result
    context.issues.push({ code: 'custom', message: result.message, input: value })
    return z.NEVER
  })
  return schema.describe(kind)
}

const shown = (value: unknown) => (typeof value === 'string' ? `"${value}"` : JSON.stringify(value))
const shownUrl = (value: unknown) => shown(typeof value === 'string' ? redactUrl(value) : value)

export const boolean = scalar('true or false', (value) =>
  typeof value === 'boolean' ? value : new Rejection(`${shown(value)} is not true or false`),
)

export const text = scalar('text', (value) => {
  if (typeof value === 'string' && value !== '' && !value.includes('\0')) return value
  return new Rejection(value === '' ? 'is empty' : `${shown(value)} is not text: put it in quotes`)
})

/** The mode of directories. YAML would read a number without quotes as a decimal one, or as octal, by its version. */
export const mode = scalar('octal mode in quotes, such as "0750"', (value) => {
  if (typeof value !== 'string' || !/^0?[0-7]{3}$/.test(value)) {
    return new Rejection(`${shown(value)} is not a mode: write three octal digits in quotes, such as "0750"`)
  }
  const bits = Number.parseInt(value, 8)
  if ((bits & 0o700) !== 0o700) return new Rejection(`"${value}" closes it to ltxd itself: expected "07.."`)
  return (bits & 0o002) === 0 ? bits : new Rejection(`"${value}" lets everybody write to it`)
})

/** The mode of a database's file. */
export const fileMode = scalar('octal mode in quotes, such as "0640"', (value) => {
  if (typeof value !== 'string' || !/^0?[0-7]{3}$/.test(value)) {
    return new Rejection(`${shown(value)} is not a mode: write three octal digits in quotes, such as "0640"`)
  }
  const bits = Number.parseInt(value, 8)
  if ((bits & 0o600) !== 0o600) return new Rejection(`"${value}" closes it to its owner: expected "06.."`)
  return (bits & 0o111) === 0 ? bits : new Rejection(`"${value}" makes a database a program: expected even digits`)
})

/** The number of a user or a group. */
export const userId = scalar('number of a user or group', (value) =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_ID
    ? value
    : new Rejection(`${shown(value)} is not a number from 0 to ${MAX_ID}: "id -u NAME" or "id -g NAME" prints it`),
)

/** A pattern of paths on the mount (util/glob.ts). */
export const pattern = scalar('pattern', (value) => {
  if (typeof value !== 'string') return new Rejection(`${shown(value)} is not a pattern, such as "*.db"`)
  const problem = globProblem(value)
  return problem === undefined ? value : new Rejection(`${shown(value)} ${problem}`)
})

export function oneOf<const T extends readonly string[]>(...options: T) {
  return scalar(options.join(' or '), (value): T[number] | Rejection =>
    options.includes(value as T[number])
      ? (value as T[number])
      : new Rejection(`${shown(value)} is not one of ${options.join(', ')}`),
  )
}

/** A duration in milliseconds. `min` and `max` are durations. */
export function duration(min: string, max = '3650d') {
  return scalar(`duration, ${min} to ${max}`, (value) => {
    const ms = typeof value === 'string' || value === 0 ? parseDuration(String(value)) : undefined
    if (ms === undefined) {
      return new Rejection(
        `${shown(value)} is not a duration: write a number and a unit, such as 500ms, 30s, 10m or 24h`,
      )
    }
    const inside = ms >= (parseDuration(min) ?? 0) && ms <= (parseDuration(max) ?? Infinity)
    return inside ? ms : new Rejection(`${shown(value)} is out of bounds: expected ${min} to ${max}`)
  })
}

/** A size in bytes. `min` and `max` are sizes. */
export function size(min: string, max: string) {
  return scalar(`size, ${min} to ${max}`, (value) => {
    const bytes = typeof value === 'string' || typeof value === 'number' ? parseSize(String(value)) : undefined
    if (bytes === undefined) {
      return new Rejection(`${shown(value)} is not a size: write a number and a unit, such as 512KB, 64MB or 2GiB`)
    }
    const inside = bytes >= (parseSize(min) ?? 0) && bytes <= (parseSize(max) ?? Infinity)
    return inside ? bytes : new Rejection(`${shown(value)} is out of bounds: expected ${min} to ${max}`)
  })
}

/** A command with its arguments, in shell quoting. */
export const command = scalar('command', (value) => {
  if (typeof value !== 'string') return new Rejection(`${shown(value)} is not a command`)
  const words = splitWords(value)
  if (words === undefined) return new Rejection(`${shown(value)} has an unfinished quote or backslash`)
  return words.length > 0 ? words : new Rejection('is empty: expected a command')
})

/** The address of a backup: `file:///DIR`, or `s3://BUCKET/PREFIX`, whose parameters the store itself checks. */
export const backupUrl = scalar('URL, file:// or s3://', (value) => {
  const example = 'expected file:///absolute/directory or s3://BUCKET/PREFIX'
  if (typeof value !== 'string') return new Rejection(`${shownUrl(value)} is not a URL: ${example}`)
  let url: URL
  try {
    url = new URL(value)
  } catch {
    return new Rejection(`${shownUrl(value)} is not a URL: ${example}`)
  }
  // The message does not repeat the URL, which contains a secret.
  if (url.username !== '' || url.password !== '') {
    return new Rejection('contains credentials: put them into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY')
  }
  if (url.protocol === 's3:')
    return url.hostname === '' ? new Rejection(`${shownUrl(value)} names no bucket: ${example}`) : value
  if (url.protocol !== 'file:') return new Rejection(`scheme "${url.protocol}" is not known: ${example}`)
  if (url.host !== '') return new Rejection(`${shownUrl(value)} names a host: write three slashes, ${example}`)
  if (url.search !== '' || url.hash !== '')
    return new Rejection(`${shownUrl(value)} has a query or a fragment: ${example}`)
  if (url.pathname === '/') return new Rejection(`${shownUrl(value)} names no directory: ${example}`)
  return isFilePath(url)
    ? value
    : new Rejection(`${shownUrl(value)} contains an encoded slash or zero byte: ${example}`)
})

/** `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, or `rediss://` for TLS. */
export const redisUrl = scalar('URL, redis:// or rediss://', (value) => {
  const example = 'expected redis://HOST:PORT, or rediss:// for TLS'
  // The messages do not repeat the URL, which may contain a password.
  if (typeof value !== 'string' || !URL.canParse(value)) return new Rejection(`is not a URL: ${example}`)
  const { protocol, hostname, pathname } = new URL(value)
  if (protocol !== 'redis:' && protocol !== 'rediss:') {
    return new Rejection(`scheme "${protocol}" is not known: ${example}`)
  }
  if (hostname === '') return new Rejection(`names no host: ${example}`)
  return /^\/?\d{0,5}$/.test(pathname)
    ? value
    : new Rejection(
        `${/^[\w/.-]*$/.test(pathname) ? `"${pathname}"` : 'its path'} is not a database: expected a number, as in redis://HOST:PORT/0`,
      )
})

/** `http://[:TOKEN@]HOST[:PORT][/PREFIX]`; the path is a prefix of the key. */
export const consulUrl = scalar('URL, http:// or https://', (value) => {
  const example = 'expected http://HOST:PORT, or https:// for TLS'
  // The messages do not repeat the URL, which may contain a token.
  if (typeof value !== 'string' || !URL.canParse(value)) return new Rejection(`is not a URL: ${example}`)
  const { protocol, username, search, hash, pathname } = new URL(value)
  if (protocol !== 'http:' && protocol !== 'https:')
    return new Rejection(`scheme "${protocol}" is not known: ${example}`)
  if (username !== '') return new Rejection('has a user name: write a token as the password, http://:TOKEN@HOST:PORT')
  if (search !== '' || hash !== '') return new Rejection(`has a query or a fragment: ${example}`)
  return isEncoded(pathname)
    ? value.replace(/\/+$/, '')
    : new Rejection(`has an invalid percent-encoding in its path: ${example}`)
})

/** The URL at which peers reach a node: `http://HOST:PORT`, with nothing after it. */
export const peerUrl = scalar('URL, http://', (value) => {
  const example = 'expected http://HOST:PORT'
  if (typeof value !== 'string' || !URL.canParse(value))
    return new Rejection(`${shownUrl(value)} is not a URL: ${example}`)
  const { protocol, username, password, pathname, search, hash, origin } = new URL(value)
  if (username !== '' || password !== '')
    return new Rejection(`contains credentials, which peers would see: ${example}`)
  if (protocol !== 'http:') return new Rejection(`scheme "${protocol}" is not known to peers: ${example}`)
  if (pathname !== '/' || search !== '' || hash !== '')
    return new Rejection(`${shownUrl(value)} has more than host and port: ${example}`)
  return origin
})

const ADDRESS = /^(?:(?:\[([^\]]*)\]|([^:[\]]*)):)?(\d{1,5})$/

/** `HOST:PORT` on loopback, or only a port. Port 0 is any free port. */
export const loopbackAddress = scalar('HOST:PORT on loopback, or a port', (value): HttpConfig | Rejection => {
  const address = typeof value === 'number' ? String(value) : value
  const match = typeof address === 'string' ? ADDRESS.exec(address) : null
  const port = Number(match?.[3])
  if (match === null || port > 65535) {
    return new Rejection(`${shown(value)} is not an address: expected HOST:PORT, such as 127.0.0.1:20202`)
  }
  const host = match[1] ?? match[2] ?? '127.0.0.1'
  if (host === '' && port === 0) return { host: '127.0.0.1', port }
  if (isLoopback(host)) return { host, port }
  return new Rejection(
    `${shown(value)} would let other machines in, and this version's API has no authentication: ` +
      `listen on loopback, 127.0.0.1:${port}`,
  )
})

function isEncoded(path: string): boolean {
  try {
    return !decodeURIComponent(path).includes('\0')
  } catch {
    return false
  }
}

function isFilePath(url: URL): boolean {
  try {
    return !fileURLToPath(url).includes('\0')
  } catch {
    return false
  }
}
