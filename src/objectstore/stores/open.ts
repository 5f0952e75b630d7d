import { normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { redactUrl } from '../../util/redact.ts'
import { type DirectoryOptions, DirectoryStore } from '../directory/store.ts'
import { StoreUrlError } from '../errors.ts'
import type { ObjectStore } from '../objectstore.ts'
import { S3Store } from '../s3/store.ts'
import { parseS3Url, S3_URL_FORM, type S3Address } from '../s3/url.ts'

type Place =
  { readonly type: 'directory'; readonly path: string } | { readonly type: 's3'; readonly address: S3Address }

type Parser = (url: URL, shown: string) => Place

const PARSERS: Readonly<Record<string, Parser>> = {
  'file:': parseDirectory,
  's3:': (url, shown) => ({ type: 's3', address: parseS3Url(url, shown) }),
}

/**
 * Opens the store that a backup URL names: `file:///DIR` or `s3://BUCKET/PREFIX`. Creates nothing before the first
 * put, and detects an unreachable store at the first call. Throws StoreUrlError.
 */
export function openObjectStore(url: string, options: DirectoryOptions = {}): ObjectStore {
  const place = parsePlace(url)
  return place.type === 's3' ? new S3Store(place.address) : new DirectoryStore(place.path, options)
}

/**
 * A text that is the same for two URLs exactly when they name the same store in the same way, however they are
 * written: percent-encoding, order of parameters, default ports, slashes. It holds no credentials. Throws
 * StoreUrlError.
 */
export function storeIdentity(url: string): string {
  const place = parsePlace(url)
  if (place.type === 'directory') return `directory ${normalize(place.path)}`
  const { bucket, prefix, endpoint = null, region = null, forcePathStyle } = place.address
  return `s3 ${JSON.stringify([bucket, prefix, endpoint, region, forcePathStyle])}`
}

function parsePlace(url: string): Place {
  const shown = redactUrl(url)
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    throw new StoreUrlError(shown, `it is not a URL; expected ${expected()}${pathHint(url, shown)}`)
  }
  const parser = PARSERS[parsed.protocol]
  if (parser === undefined) {
    throw new StoreUrlError(shown, `the scheme "${parsed.protocol}" is not supported; expected ${expected()}`)
  }
  return parser(parsed, shown)
}

function parseDirectory(url: URL, shown: string): Place {
  if (url.hostname !== '') {
    throw new StoreUrlError(
      shown,
      'a name stands where a host would; write a directory with three slashes: file:///DIR',
    )
  }
  if (url.search !== '' || url.hash !== '') {
    throw new StoreUrlError(shown, 'a directory takes no parameters; write "?" and "#" in its name as %3F and %23')
  }
  let path: string
  try {
    path = fileURLToPath(url)
  } catch {
    throw new StoreUrlError(shown, 'its path is not a valid encoding of a file name')
  }
  if (path.includes('\0')) throw new StoreUrlError(shown, 'its path contains a zero byte')
  return { type: 'directory', path: path.replace(/(?<=.)\/+$/, '') }
}

function expected(): string {
  return `file:///DIR, a directory with its absolute path, or ${S3_URL_FORM}`
}

/** A hint for a path given where a URL is expected, unless it may hold a secret. */
function pathHint(url: string, shown: string): string {
  return url.startsWith('/') && url === shown ? `: did you mean file://${encodeURI(url)}?` : ''
}
