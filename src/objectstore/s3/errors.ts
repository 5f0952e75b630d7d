/** Turns an S3 store's errors into errors that name the store and say what to do. */

import { errorCode, errorMessage, LtxdError } from '../../util/errors.ts'
import { withoutSecrets } from '../../util/sent-secrets.ts'
import { shorten } from '../../util/shorten.ts'
import { StoreUnavailableError } from '../errors.ts'
import { ForeignAnswerError } from './proof.ts'

/**
 * The store, or the network before it, rejected the request. A retry gives the same result until something is
 * changed.
 */
export class StoreRejectedError extends LtxdError {
  constructor(
    readonly url: string,
    reason: Reason,
    action: string,
    cause: Error,
  ) {
    super(reason.code, `cannot ${action} in ${url}: ${errorMessage(cause)}; ${reason.advice}`, 1, { cause })
  }
}

interface Reason {
  readonly code: 'STORE_NO_BUCKET' | 'STORE_ACCESS_DENIED' | 'STORE_CREDENTIALS' | 'STORE_CLOCK_SKEW' | 'STORE_REGION'
  readonly advice: string
}

const noBucket: Reason = {
  code: 'STORE_NO_BUCKET',
  advice: 'create the bucket, or correct its name or the endpoint in the URL',
}
const denied: Reason = {
  code: 'STORE_ACCESS_DENIED',
  advice:
    'allow these credentials s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject, s3:DeleteObject and ' +
    's3:AbortMultipartUpload on its objects',
}
const wrongCredentials: Reason = {
  code: 'STORE_CREDENTIALS',
  advice:
    'the store does not accept the credentials: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE',
}
const noCredentials: Reason = {
  code: 'STORE_CREDENTIALS',
  advice: 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role',
}
const expired: Reason = { code: 'STORE_CREDENTIALS', advice: 'the credentials have expired: get new ones' }
const skewed: Reason = {
  code: 'STORE_CLOCK_SKEW',
  advice: `the store's clock and this machine's differ too much: set this machine's (it says ${'$NOW'}), best with NTP`,
}
const wrongRegion: Reason = {
  code: 'STORE_REGION',
  advice: "name the bucket's region: ?region=… in the URL, or AWS_REGION",
}

/** By the error's name, from the store or the SDK. */
const REASONS: Readonly<Record<string, Reason>> = {
  NoSuchBucket: noBucket,
  AccessDenied: denied,
  Forbidden: denied,
  AllAccessDisabled: denied,
  InvalidAccessKeyId: wrongCredentials,
  // versitygw's name for it.
  XAdminUserNotFound: wrongCredentials,
  SignatureDoesNotMatch: wrongCredentials,
  InvalidSecurity: wrongCredentials,
  InvalidToken: wrongCredentials,
  CredentialsProviderError: noCredentials,
  TokenProviderError: noCredentials,
  ExpiredToken: expired,
  ExpiredTokenException: expired,
  TokenRefreshRequired: expired,
  RequestTimeTooSkewed: skewed,
  RequestExpired: skewed,
  PermanentRedirect: wrongRegion,
  AuthorizationHeaderMalformed: wrongRegion,
  IllegalLocationConstraintException: wrongRegion,
}

/** By the code of a system error: no answer came. */
const UNREACHABLE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there: check the endpoint, and that the server is running',
  ENOTFOUND: 'the host is unknown: check the endpoint (a server without bucket host names needs forcePathStyle=true)',
  EAI_AGAIN: 'the name service does not answer: check the network of this machine',
  ENETUNREACH: 'the network is unreachable: check the network of this machine',
  EHOSTUNREACH: 'the host is unreachable: check the endpoint',
  ETIMEDOUT: 'the endpoint does not answer: check the endpoint, and firewalls on the way',
  ECONNRESET: 'the connection was cut',
  EPIPE: 'the connection was cut',
  EPROTO: 'the endpoint does not speak TLS: if it is a plain one, write http://',
  DEPTH_ZERO_SELF_SIGNED_CERT: "the endpoint's certificate is not trusted: name its authority in NODE_EXTRA_CA_CERTS",
  SELF_SIGNED_CERT_IN_CHAIN: "the endpoint's certificate is not trusted: name its authority in NODE_EXTRA_CA_CERTS",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    "the endpoint's certificate is not trusted: name its authority in NODE_EXTRA_CA_CERTS",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    "the endpoint's certificate is not trusted: name its authority in NODE_EXTRA_CA_CERTS",
  CERT_HAS_EXPIRED: "the endpoint's certificate has expired",
  ERR_TLS_CERT_ALTNAME_INVALID: "the endpoint's certificate is for another host",
}

/**
 * The error of a failed call. The SDK's own error may contain the signed request, so only its name and message become
 * the cause.
 */
export function storeError(url: string, action: string, thrown: unknown): LtxdError {
  const error = unwrapped(thrown)
  const cause = plainCause(error)
  const name = serviceErrorName(error)
  const reason = (name === undefined ? undefined : REASONS[name]) ?? reasonByMessage(error)
  if (reason !== undefined) {
    const advice = reason.advice.replace('$NOW', new Date().toISOString())
    return new StoreRejectedError(url, { ...reason, advice }, action, cause)
  }
  return new StoreUnavailableError(url, action, cause, adviceFor(name, error))
}

/** The answer's status; undefined when there was none. */
export function statusOf(error: unknown): number | undefined {
  const metadata = property(error, '$metadata')
  const status = property(metadata, 'httpStatusCode')
  return typeof status === 'number' ? status : undefined
}

/** `NoSuchKey`, `AccessDenied`, …. An answer without a body, as to HEAD, is named by its status. */
function serviceErrorName(error: unknown): string | undefined {
  const name = error instanceof Error ? error.name : undefined
  const generic = name === undefined || name === 'Error' || name === 'Unknown' || name === 'UnknownError'
  const status = statusOf(error)
  if ((generic || name === '403') && status === 403) return 'Forbidden'
  if (generic && status === 301) return 'PermanentRedirect'
  return generic ? undefined : name
}

/** Whether the store says that the object is missing, and not the bucket or the user. HEAD's answer cannot tell. */
export function isNoSuchObject(error: unknown): boolean {
  return statusOf(error) === 404 && serviceErrorName(error) === 'NoSuchKey'
}

function reasonByMessage(error: unknown): Reason | undefined {
  return /region is missing/i.test(errorMessage(error)) ? wrongRegion : undefined
}

function adviceFor(name: string | undefined, error: unknown): string {
  const status = statusOf(error)
  if (name === 'SlowDown' || status === 503 || status === 429) return '; the store is busy'
  if (error instanceof ForeignAnswerError) {
    return '; check the endpoint, and what is between it and this machine (a proxy, a login page)'
  }
  if (/deserialization|unexpected token|is not expected/i.test(errorMessage(error))) {
    return "; the answer is not an S3 server's: check the endpoint"
  }
  const code = name === 'TimeoutError' ? 'ETIMEDOUT' : errorCode(error)
  const advice = code === undefined ? undefined : UNREACHABLE[code]
  return advice === undefined ? '' : `; ${advice}`
}

/** When all addresses of one host fail, the error is an AggregateError. Its first error represents them. */
function unwrapped(error: unknown): unknown {
  if (!(error instanceof AggregateError)) return error
  const [first] = error.errors as unknown[]
  return first ?? error
}

const MAX_NAME = 100
const MAX_MESSAGE = 500

function plainCause(error: unknown): Error {
  // Whatever answers at the endpoint chooses these texts, of any length, perhaps from the request.
  const name = serviceErrorName(error) ?? errorCode(error)
  const code = name === undefined ? undefined : shorten(withoutSecrets(name), MAX_NAME)
  const message = shorten(withoutSecrets(errorMessage(error)).trim(), MAX_MESSAGE)
  const known = message === '' || message === 'UnknownError' ? undefined : message
  const parts = known !== undefined && code !== undefined && known.includes(code) ? [known] : [code, known]
  const text = parts.filter((part) => part !== undefined).join(': ')
  const status = statusOf(error)
  const cause = new Error(text === '' ? `the store answered ${status ?? 'with something unreadable'}` : text)
  return code === undefined ? cause : Object.assign(cause, { code })
}

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined
}
