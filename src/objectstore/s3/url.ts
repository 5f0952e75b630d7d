/** The address of a bucket: `s3://BUCKET/PREFIX?endpoint=…&region=…&forcePathStyle=true`. */

import { redactName } from '../../util/redact.ts'
import { StoreUrlError } from '../errors.ts'
import { prefixProblem } from '../keys.ts'

export interface S3Address {
  /** For display: without secrets, with the effective endpoint. */
  readonly url: string
  readonly bucket: string
  /** The prefix of each key; empty, or ends in a slash. */
  readonly prefix: string
  /** Absent: Amazon's. */
  readonly endpoint?: string
  /** Absent: from AWS_REGION or the profile. */
  readonly region?: string
  /** `ENDPOINT/BUCKET/KEY` instead of `BUCKET.ENDPOINT/KEY`. */
  readonly forcePathStyle: boolean
}

export const S3_URL_FORM = 's3://BUCKET/PREFIX?endpoint=…&region=…&forcePathStyle=true'

const PARAMETERS = ['endpoint', 'region', 'forcePathStyle'] as const
const BUCKET_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$/
const REGION_NAME = /^[A-Za-z0-9][A-Za-z0-9-]{0,62}$/

/** `shown` is the URL without secrets. No message repeats what that may leave out. Throws StoreUrlError. */
export function parseS3Url(url: URL, shown: string, environment: NodeJS.ProcessEnv = process.env): S3Address {
  const invalid = (problem: string) => new StoreUrlError(shown, problem)
  if (url.username !== '' || url.password !== '') {
    throw invalid('credentials do not belong in a URL: put them into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY')
  }
  if (url.port !== '')
    throw invalid('a bucket has no port; the server goes into a parameter: ?endpoint=http://HOST:PORT')
  if (url.hash !== '') throw invalid('it has a fragment; write "#" in a prefix as %23')
  const bucket = url.hostname
  if (!BUCKET_NAME.test(bucket)) {
    throw invalid(`its host is not a bucket name (3 to 63 letters, digits, "-", "." or "_"); expected ${S3_URL_FORM}`)
  }
  const parameters = parseParameters(url, invalid)
  const prefix = parsePrefix(url, invalid)
  const endpoint = parameters.endpoint ?? environment.AWS_ENDPOINT_URL_S3 ?? environment.AWS_ENDPOINT_URL
  const checked = endpoint === undefined || endpoint === '' ? undefined : parseEndpoint(endpoint, invalid)
  const { region } = parameters
  if (region !== undefined && !REGION_NAME.test(region)) {
    throw invalid('its region is not the name of a region, such as eu-central-1')
  }
  return {
    url: shownUrl(bucket, prefix, checked, region),
    bucket,
    prefix,
    ...(checked === undefined ? {} : { endpoint: checked }),
    ...(region === undefined ? {} : { region }),
    // Servers other than Amazon's rarely serve bucket names as host names.
    forcePathStyle: parameters.forcePathStyle ?? checked !== undefined,
  }
}

type Invalid = (problem: string) => StoreUrlError

interface Parameters {
  endpoint?: string
  region?: string
  forcePathStyle?: boolean
}

function parseParameters(url: URL, invalid: Invalid): Parameters {
  const values = new Map<string, string>()
  for (const [name, value] of url.searchParams) {
    if (!PARAMETERS.some((known) => known === name)) {
      throw invalid(`the parameter "${redactName(name, value)}" is not known; expected ${PARAMETERS.join(', ')}`)
    }
    if (values.has(name)) throw invalid(`the parameter "${name}" is given twice`)
    if (value === '') throw invalid(`the parameter "${name}" is empty`)
    values.set(name, value)
  }
  const [endpoint, region, pathStyle] = PARAMETERS.map((name) => values.get(name))
  if (pathStyle !== undefined && pathStyle !== 'true' && pathStyle !== 'false') {
    throw invalid('forcePathStyle has another value: expected true or false')
  }
  return {
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(pathStyle === undefined ? {} : { forcePathStyle: pathStyle === 'true' }),
  }
}

function parsePrefix(url: URL, invalid: Invalid): string {
  let prefix: string
  try {
    prefix = decodeURIComponent(url.pathname).replace(/^\/|\/$/g, '')
  } catch {
    throw invalid('its prefix is not a valid percent-encoding')
  }
  const problem = prefixProblem(prefix)
  if (problem !== undefined) throw invalid(`its prefix ${problem}`)
  return prefix === '' ? '' : prefix + '/'
}

function parseEndpoint(endpoint: string, invalid: Invalid): string {
  const example = 'expected http://HOST:PORT or https://HOST'
  let parsed: URL
  try {
    parsed = new URL(endpoint)
  } catch {
    throw invalid(`the endpoint is not a URL; ${example}`)
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw invalid('credentials do not belong in an endpoint: put them into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY')
  }
  if (parsed.protocol !== 'http:' && parsed.protocol !== 'https:') {
    // What stands before the colon may be a user, and a password after it: it is not repeated.
    throw invalid(`the endpoint has no http:// or https:// before it; ${example}`)
  }
  if (parsed.search !== '' || parsed.hash !== '') throw invalid(`the endpoint has a query or a fragment; ${example}`)
  return parsed.href.replace(/\/$/, '')
}

/** Always in this order, and legible: an endpoint needs no percent-encoding within a query. */
function shownUrl(bucket: string, prefix: string, endpoint: string | undefined, region: string | undefined): string {
  const path = prefix.slice(0, -1).split('/').map(encodeURIComponent).join('/')
  const parameters = [
    ...(endpoint === undefined ? [] : [`endpoint=${endpoint}`]),
    ...(region === undefined ? [] : [`region=${region}`]),
  ]
  return `s3://${bucket}/${path}${parameters.length === 0 ? '' : '?' + parameters.join('&')}`
}
