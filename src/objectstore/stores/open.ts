import { fileURLToPath } from 'node:url'
import { redactUrl } from '../../util/log.ts'
import { DirectoryStore } from '../directory/store.ts'
import { StoreUrlError } from '../errors.ts'
import type { ObjectStore } from '../objectstore.ts'
import { S3Store } from '../s3/store.ts'
import { parseS3Url, S3_URL_FORM } from '../s3/url.ts'

type Opener = (url: URL, shown: string) => ObjectStore

const OPENERS: Readonly<Record<string, Opener>> = {
  'file:': openDirectory,
  's3:': (url, shown) => new S3Store(parseS3Url(url, shown)),
}

/**
 * Opens the store that a backup URL names: `file:///DIR` or `s3://BUCKET/PREFIX`. Creates nothing before the first
 * put, and detects an unreachable store at the first call. Throws StoreUrlError.
 */
export function openObjectStore(url: string): ObjectStore {
  const shown = redactUrl(url)
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    throw new StoreUrlError(shown, `it is not a URL; expected ${expected()}${pathHint(url)}`)
  }
  const opener = OPENERS[parsed.protocol]
  if (opener === undefined) {
    throw new StoreUrlError(shown, `the scheme "${parsed.protocol}" is not supported; expected ${expected()}`)
  }
  return opener(parsed, shown)
}

function openDirectory(url: URL, shown: string): ObjectStore {
  if (url.hostname !== '') {
    throw new StoreUrlError(
      shown,
      `"${url.hostname}" stands where a host would; write a directory with three slashes: file:///DIR`,
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
  return new DirectoryStore(path.length > 1 ? path.replace(/\/+$/, '') : path)
}

function expected(): string {
  return `file:///DIR, a directory with its absolute path, or ${S3_URL_FORM}`
}

/** A hint for a path given where a URL is expected. */
function pathHint(url: string): string {
  return url.startsWith('/') ? `: did you mean file://${encodeURI(url)}?` : ''
}
