/**
 * Valid database names, and their keys: a name must survive as a path of the log, as a key of a backup, and in
 * messages.
 */

import { LtxdError } from '../util/errors.ts'

/** A name that no database can have, or that a backup cannot hold. */
export class DatabaseNameError extends LtxdError {
  constructor(name: string, problem: string) {
    super(
      'DATABASE_NAME_INVALID',
      `${JSON.stringify(name.slice(0, 200))} is not a usable database name: ${problem}. ` +
        'Expected a relative path as on the mount, such as app.db or tenants/a.db',
      2,
    )
  }
}

/** Room for what lies below a database in a key of at most 1024 bytes: `/ltx/9/<33 characters>.ltx.meta.json`. */
const MAX_ENCODED_BYTES = 900
const MAX_ENCODED_SEGMENT_BYTES = 240

/** SQLite's journals, WAL, wal-index and super-journals (capture/naming.ts), and the mount's files of a database. */
const SIDE_FILE = /-(?:journal|wal|shm|pos|halt)$|-mj[0-9A-F]{6}9[0-9A-F]{2}$/
/** The mount's own files at its top, and everything that a backup has beside its databases. */
const RESERVED = /^(?:\.primary|\.lag)$|^\.ltxd/

/** Why `name`, a path relative to the mount, cannot name a database; undefined if it can. */
export function databaseNameProblem(name: string): string | undefined {
  if (name === '') return 'it is empty'
  if (!name.isWellFormed()) return 'it is not valid Unicode'
  if (/\p{Cc}/u.test(name)) return 'it holds a control character'
  const segments = name.split('/')
  if (segments.includes('')) return 'it has an empty part (a leading, trailing or doubled slash)'
  if (segments.includes('.') || segments.includes('..')) return 'it has a part "." or ".."'
  const side = SIDE_FILE.exec(name)?.[0]
  if (side !== undefined) return `a name that ends in "${side}" belongs to a file beside a database`
  if (RESERVED.test(name)) return 'ltxd uses that name itself'
  if (segments.slice(0, -1).some((segment) => /\.ltx(\.next|\.old)?$/.test(segment))) {
    return 'it lies in a folder whose name ends as a log\'s does (".ltx", ".ltx.next", ".ltx.old")'
  }
  if (segments.some((segment) => encodeSegment(segment).length > MAX_ENCODED_SEGMENT_BYTES)) {
    return `a part of it is longer than ${MAX_ENCODED_SEGMENT_BYTES} bytes when percent-encoded`
  }
  if (percentEncode(name).length > MAX_ENCODED_BYTES) {
    return `it is longer than ${MAX_ENCODED_BYTES} bytes when percent-encoded`
  }
  return undefined
}

/** A name's key: percent-encoded by segment, so that each name has one key. Throws DatabaseNameError. */
export function encodeDatabaseName(name: string): string {
  const problem = databaseNameProblem(name)
  if (problem !== undefined) throw new DatabaseNameError(name, problem)
  return percentEncode(name)
}

/** The name that `encodeDatabaseName` encoded as this key; undefined when the key encodes none. */
export function decodeDatabaseName(encoded: string): string | undefined {
  try {
    const name = encoded.split('/').map(decodeURIComponent).join('/')
    return encodeDatabaseName(name) === encoded ? name : undefined
  } catch {
    return undefined
  }
}

/** The name that this key encodes, if no database can have it (any more). */
export function decodeUnusableName(encoded: string): string | undefined {
  try {
    const name = encoded.split('/').map(decodeURIComponent).join('/')
    return percentEncode(name) === encoded && databaseNameProblem(name) !== undefined ? name : undefined
  } catch {
    return undefined
  }
}

function percentEncode(name: string): string {
  return name.split('/').map(encodeSegment).join('/')
}

function encodeSegment(segment: string): string {
  return encodeURIComponent(segment).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}
