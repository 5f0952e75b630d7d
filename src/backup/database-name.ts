/** Names of databases in keys: percent-encoded by segment, so that each name has one key and each key one name. */

import { DatabaseNameError } from './errors.ts'

/** Room for what lies below a database in a key of at most 1024 bytes: `/ltx/9/<33 characters>.ltx.meta.json`. */
const MAX_ENCODED_BYTES = 900
const MAX_ENCODED_SEGMENT_BYTES = 250

/** Throws DatabaseNameError. */
export function encodeDatabaseName(name: string): string {
  const problem = nameProblem(name)
  if (problem !== undefined) throw new DatabaseNameError(name, problem)
  const segments = name.split('/').map(encodeSegment)
  if (segments.some((segment) => segment.length > MAX_ENCODED_SEGMENT_BYTES)) {
    throw new DatabaseNameError(
      name,
      `a part of it is longer than ${MAX_ENCODED_SEGMENT_BYTES} bytes when percent-encoded`,
    )
  }
  const encoded = segments.join('/')
  if (encoded.length > MAX_ENCODED_BYTES) {
    throw new DatabaseNameError(name, `it is longer than ${MAX_ENCODED_BYTES} bytes when percent-encoded`)
  }
  return encoded
}

/** The database that `encodeDatabaseName` made this of; undefined when it made it of none. */
export function decodeDatabaseName(encoded: string): string | undefined {
  try {
    const name = encoded.split('/').map(decodeURIComponent).join('/')
    return encodeDatabaseName(name) === encoded ? name : undefined
  } catch {
    return undefined
  }
}

function nameProblem(name: string): string | undefined {
  if (name === '') return 'it is empty'
  if (!name.isWellFormed()) return 'it is not valid Unicode'
  // eslint-disable-next-line no-control-regex -- control characters are what this is about
  if (/[\u0000-\u001f\u007f]/.test(name)) return 'it holds a control character'
  for (const segment of name.split('/')) {
    if (segment === '') return 'it has an empty part (a leading, trailing or doubled slash)'
    if (segment === '.' || segment === '..') return `it has a part "${segment}"`
  }
  return undefined
}

function encodeSegment(segment: string): string {
  return encodeURIComponent(segment).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}
