import { InvalidKeyError } from './errors.ts'

/** S3's limit. A directory's is higher. */
export const MAX_KEY_BYTES = 1024
/** The limit of a file name, less the sidecar's suffix. */
const MAX_SEGMENT_BYTES = 250

/**
 * Throws InvalidKeyError unless every store can hold an object with this key: relative, normalized, printable,
 * bounded.
 */
export function checkKey(key: string): void {
  const problem = keyProblem(key)
  if (problem !== undefined) throw new InvalidKeyError(key, problem)
}

/** As for a key, but a prefix may be empty and may end inside a segment. */
export function checkPrefix(prefix: string): void {
  const problem = prefixProblem(prefix)
  if (problem !== undefined) throw new InvalidKeyError(prefix, problem)
}

/** What is wrong with a prefix; undefined when it is valid. */
export function prefixProblem(prefix: string): string | undefined {
  return prefix === '' ? undefined : keyProblem(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix)
}

function keyProblem(key: string): string | undefined {
  if (key === '') return 'is empty'
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) return `is longer than ${MAX_KEY_BYTES} bytes`
  // eslint-disable-next-line no-control-regex -- control characters are what this is about
  if (/[\u0000-\u001f\u007f]/.test(key)) return 'contains a control character'
  if (!key.isWellFormed()) return 'is not valid Unicode'
  for (const segment of key.split('/')) {
    if (segment === '') return 'has an empty segment; it must be relative, without doubled or trailing slashes'
    if (segment === '.' || segment === '..') return `has a segment "${segment}"`
    if (Buffer.byteLength(segment) > MAX_SEGMENT_BYTES) return `has a segment longer than ${MAX_SEGMENT_BYTES} bytes`
  }
  return undefined
}

/** The order of keys in every store: by their UTF-8 bytes. */
export function compareKeys(a: string, b: string): number {
  if (a === b) return 0
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
